"""Sources for tests of the migration room: text as a file, its findings, its fixes."""

from __future__ import annotations

from pathlib import Path

from anychip.migrate import Destination, Finding, ScannedFile, scan


def scanned(
    folder: Path, text: str | bytes, name: str = "program.py", target: Destination | None = None
) -> ScannedFile:
    """A file with this text in `folder`, read by the rules."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return scan([path], target).files[0]


def found(folder: Path, text: str | bytes, name: str = "program.py") -> list[tuple[int, str]]:
    """Lines and codes of a file's findings."""
    return [(each.line, each.code) for each in scanned(folder, text, name).findings]


def codes(folder: Path, text: str | bytes, name: str = "program.py") -> list[str]:
    """Codes of a file's findings."""
    return [code for _, code in found(folder, text, name)]


def fixed(folder: Path, text: str | bytes, unsafe: bool = False) -> str:
    """A file after its fixes."""
    file = scanned(folder, text)
    assert file.plan is not None
    return file.plan.fixed(unsafe).decode()


def one(folder: Path, text: str) -> Finding:
    """The only finding of a file."""
    (finding,) = scanned(folder, text).findings
    return finding

"""A folder that appears whole or not at all, and takes nothing away but an earlier export."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import ExportError

REPORT = "report.json"
OF_AN_EXPORT = (
    REPORT,
    "example.c",
    "example.mjs",
    "golden.h",
    "{name}.h",
    "{name}.o",
    "lib{name}.a",
    "{name}.wasm",
    "{name}_weights.bin",
    "example",
)
"""What an export may hold, and the program that its example's first lines tell to make."""


def require_free(directory: Path) -> None:
    """Raise ExportError unless `directory` does not exist, is empty, or holds an earlier export alone."""
    if directory.exists() and not directory.is_dir():
        raise ExportError(f"{directory} is a file\n  Name a folder.")
    foreign = _foreign(directory) if directory.is_dir() else []
    if foreign:
        raise ExportError(
            f"{directory} holds files that no export wrote ({', '.join(foreign[:3])})\n"
            "  Name a new folder, or move them."
        )


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make `directory` with these files, in place of an earlier export."""
    require_free(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        around = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise ExportError(
            f"{directory} cannot be made: {error}\n  Name a folder that can be written."
        ) from error
    made, earlier = around / "made", around / "earlier"
    try:
        made.mkdir()
        for name, content in files.items():
            (made / name).write_bytes(content)
        if directory.exists():
            os.replace(directory, earlier)
        os.replace(made, directory)
    except OSError as error:
        if earlier.exists() and not directory.exists():
            os.replace(earlier, directory)
        raise ExportError(f"{directory} cannot be written: {error}") from error
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _foreign(directory: Path) -> list[str]:
    """Names in `directory` that are not of an export; all of them where none was written there."""
    found = sorted(entry.name for entry in directory.iterdir())
    try:
        facts = json.loads((directory / REPORT).read_text())
        own = {name.format(name=facts["name"]) for name in OF_AN_EXPORT} if "launches" in facts else set()
    except (OSError, ValueError, TypeError, KeyError):
        own = set()
    return [name for name in found if name not in own]

"""Everything under some paths, read by the rules. Flows in: files and folders. Flows out: findings in the
order of files and lines, and the share of files without any.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import MigrateError
from .finding import Destination, Finding, finding
from .fixing.plan import FixPlan, plan
from .reading import python, text
from .reading.match import Match
from .reading.source import SourceText
from .rules.files import UNREADABLE
from .suppression import Key, is_ignored, key

SKIPPED = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"}
)
"""Folders that hold nobody's sources, and any other that begins with a dot."""
CUDA_SUFFIXES = (".cu", ".cuh")


@dataclass(slots=True)
class ScannedFile:
    """A file that was read. `key_of` has what a baseline knows each finding by; `plan` the fixes, in
    Python."""

    path: Path
    source: SourceText
    findings: list[Finding]
    key_of: dict[Finding, Key]
    plan: FixPlan | None = None


@dataclass(slots=True)
class Scan:
    """What was found under some paths."""

    files: list[ScannedFile] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Every finding, in the order of files and lines."""
        return [each for file in self.files for each in file.findings]

    @property
    def portable(self) -> float:
        """The share of files without a finding; 1.0 where there are no files."""
        if not self.files:
            return 1.0
        return sum(not file.findings for file in self.files) / len(self.files)


def scan(paths: Sequence[Path], target: Destination | None = None, codes: Sequence[str] = ()) -> Scan:
    """What binds the programs under `paths` to a vendor, but for what runs on `target` as it stands.

    `codes` are beginnings of codes ("AC1", "AC301"); without any, all count. Files are named relative to the
    working directory, with forward slashes. Raises MigrateError for a path that does not exist."""
    files = list(_files(paths))
    packages = _packages(paths, files)
    read = [(path, one) for path in files if (one := _read(path, packages)) is not None]
    own_cuda = any(isinstance(one, python.PythonFile) and one.own_cuda for _, one in read)
    found = Scan()
    for path, one in read:
        source = one.source
        kept = _kept(source, one.matches, target, codes)
        fixes = plan(one, kept, own_cuda) if isinstance(one, python.PythonFile) else None
        findings = [finding(source.file, each, target, fixes.applies(each) if fixes else "") for each in kept]
        keys = {each: key(each, source.line(each.line)) for each in findings}
        found.files.append(ScannedFile(path, source, findings, keys, fixes))
    return found


@dataclass(slots=True)
class _Text:
    source: SourceText
    matches: list[Match]


def _read(path: Path, packages: frozenset[str]) -> python.PythonFile | _Text | None:
    """A file and its matches; None for one that says nothing about devices."""
    name = _shown(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Text(SourceText(name, b""), [Match(UNREADABLE, (1, 0), error.strerror or str(error))])
    if path.suffix in (".py", ".pyi"):
        try:
            source = SourceText(name, data)
        except (SyntaxError, UnicodeDecodeError, LookupError) as error:
            return _Text(SourceText(name, data, is_python=False), [Match(UNREADABLE, (1, 0), str(error))])
        return python.read(source, packages)
    source = SourceText(name, data, is_python=False)
    matches = text.read_cuda(source) if path.suffix in CUDA_SUFFIXES else text.read_requirements(source)
    return _Text(source, matches)


def _kept(
    source: SourceText, matches: list[Match], target: Destination | None, codes: Sequence[str]
) -> list[Match]:
    """The matches that count: once for each place and code, on that chip, of these codes, and not ignored."""
    comments: dict[int, str] | None = None
    seen: set[tuple[object, ...]] = set()
    kept = []
    for match in matches:
        code = match.rule.code
        place = (code, match.at)
        if place in seen or (codes and not code.startswith(tuple(codes))):
            continue
        if target is not None and target.serves(match.rule):
            continue
        seen.add(place)
        if "noqa" in source.line(match.at[0]).lower():
            if comments is None:
                is_python = source.file.endswith((".py", ".pyi"))
                comments = source.comments() if is_python else {}
            line = match.at[0]
            comment = comments.get(line, "" if source.file.endswith((".py", ".pyi")) else source.line(line))
            if is_ignored(comment, code):
                continue
        kept.append(match)
    return kept


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that rules read, each once, in the order of their names within a folder."""
    seen = set()
    for path in paths:
        if not path.exists():
            raise MigrateError(f"{path}: there is no such file or folder.")
        for file in _below(path) if path.is_dir() else [path]:
            if file not in seen and (file == path or _is_read(file)):
                seen.add(file)
                yield file


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("."))
        for name in sorted(names):
            yield Path(root, name)


def _is_read(path: Path) -> bool:
    return path.suffix in (".py", ".pyi", *CUDA_SUFFIXES) or text.is_requirements(path.as_posix())


def _packages(paths: Iterable[Path], files: Iterable[Path]) -> frozenset[str]:
    """The top-level packages that the paths hold, or lie in."""
    folders = {file.parent for file in files if file.name == "__init__.py"}
    found = {folder.name for folder in folders if folder.parent not in folders}
    for path in paths:
        inside = path.resolve() if path.is_dir() else path.resolve().parent
        while (inside / "__init__.py").is_file():
            found.add(inside.name)
            inside = inside.parent
    return frozenset(found)


def _shown(path: Path) -> str:
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()

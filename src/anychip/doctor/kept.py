"""What an installation keeps on disk, by kind, and how each kind is removed. Flows in: Triton's cache
folder, Anychip's, and the database of measurements. Flows out: numbers, sizes and ages; files and entries are
removed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..measurements.entry import Entry

KERNELS, OTHERS, NATIVE, FINGERPRINTS = "kernels", "others", "native", "fingerprints"
CHOICES, TUNED = "choices", "tuned"
MEANING = {
    KERNELS: "kernels compiled by Anychip",
    OTHERS: "kernels of Triton's other back ends (never removed)",
    NATIVE: "native code of the runtime",
    FINGERPRINTS: "digests of installed programs, and lists of their operators",
    CHOICES: "choices of the policy auto",
    TUNED: "results of anychip tune",
}
MADE_AGAIN = (KERNELS, NATIVE, FINGERPRINTS)
"""What a process makes again in milliseconds to seconds when it misses it: what `clean` takes by itself."""
MEASURED = (CHOICES, TUNED)
"""What was measured: removed only by name."""


@dataclass(frozen=True, slots=True)
class CacheSummary:
    """What is kept of one kind. `oldest` is the time of the last change of the oldest, in seconds since the
    epoch, None where there is nothing."""

    kind: str
    folder: str
    number: int
    bytes: int
    oldest: float | None


def contents() -> list[CacheSummary]:
    """What is kept, by kind."""
    from ..runtime.cache import cache_root
    from ..triton_backend.kept_kernels import cache_folder, kept

    root = cache_folder()
    kernels = list(kept(root))
    found = [
        _summary(kind, root, [(k.size, k.changed) for k in kernels if k.is_ours is ours])
        for kind, ours in ((KERNELS, True), (OTHERS, False))
    ]
    for kind in (NATIVE, FINGERPRINTS):
        folder = cache_root() / kind
        found.append(_summary(kind, folder, [(fact.size, fact.changed) for fact in _files(folder)]))
    for kind in MEASURED:
        entries = [entry for _, entries in _databases() for entry in entries if _is_kind(entry, kind)]
        sizes = [(len(line) + 1, day) for line, day in map(_line_and_day, entries)]
        found.append(_summary(kind, _tuning_folder(), sizes))
    return found


def _summary(kind: str, folder: Path, things: Iterable[tuple[int, float]]) -> CacheSummary:
    sizes = list(things)
    oldest = min((changed for _, changed in sizes), default=None)
    return CacheSummary(kind, str(folder), len(sizes), sum(size for size, _ in sizes), oldest)


# ---- kernels ----------------------------------------------------------------------------------------


def _remove_kernels(before: float) -> tuple[int, int]:
    from ..triton_backend.kept_kernels import cache_folder, kept, remove

    return remove([kernel for kernel in kept(cache_folder()) if kernel.changed < before])


# ---- files of the runtime ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    changed: float


def _files(folder: Path) -> Iterator[_File]:
    """The files of a folder of the runtime; a process that misses one makes it again."""
    try:
        for path in sorted(folder.iterdir()):
            fact = path.lstat()
            if path.is_file() and not path.is_symlink():
                yield _File(path, fact.st_size, fact.st_mtime)
    except OSError:
        return


def _remover(kind: str) -> Callable[[float], tuple[int, int]]:
    def remove(before: float) -> tuple[int, int]:
        from ..runtime.cache import cache_root

        gone = []
        for file in _files(cache_root() / kind):
            if file.changed < before:
                try:
                    file.path.unlink()
                except OSError:
                    continue
                gone.append(file.size)
        return len(gone), sum(gone)

    return remove


# ---- measurements ------------------------------------------------------------------------------------


def _tuning_folder() -> Path:
    from ..measurements.database import FOLDER
    from ..runtime.cache import cache_root

    return cache_root() / FOLDER


def _databases() -> Iterator[tuple[str, list[Entry]]]:
    """The chips of which there are measurements, with these."""
    from ..measurements.database import Database

    for file in sorted(_tuning_folder().glob("*.jsonl")):
        yield file.stem, Database(file.stem, file.parent).entries()


def _is_kind(entry: Entry, kind: str) -> bool:
    from ..measurements.entry import CHOICE

    return (entry.kind == CHOICE) == (kind == CHOICES)


def _line_and_day(entry: Entry) -> tuple[str, float]:
    """An entry as it stands in the file, and the beginning of the day on which it was made."""
    from ..measurements.entry import to_line

    try:
        day = datetime.datetime.fromisoformat(entry.made).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        day = 0.0
    return to_line(entry), day


def _measurement_remover(kind: str) -> Callable[[float], tuple[int, int]]:
    def remove(before: float) -> tuple[int, int]:
        from ..measurements.database import Database

        number = size = 0
        for chip, entries in _databases():
            gone = [
                (e.key, line)
                for e in entries
                if _is_kind(e, kind)
                for line, day in [_line_and_day(e)]
                if day < before
            ]
            keys = {key for key, _ in gone}
            if keys:
                number += Database(chip, _tuning_folder()).discard(lambda e, keys=keys: e.key in keys)
                size += sum(len(line) + 1 for _, line in gone)
        return number, size

    return remove


REMOVERS: dict[str, Callable[[float], tuple[int, int]]] = {
    KERNELS: _remove_kernels,
    NATIVE: _remover(NATIVE),
    FINGERPRINTS: _remover(FINGERPRINTS),
    CHOICES: _measurement_remover(CHOICES),
    TUNED: _measurement_remover(TUNED),
}

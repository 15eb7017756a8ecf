"""The measurements of one chip in one file of the user's cache, shared by all processes.

Flows in: entries. Flows out: the latest entry for a subject and a signature, if its source is still the
one that was measured. The file is a list of lines, appended under a lock; a line that is damaged, or of
another chip or format, counts as absent and costs one line of log for the file. Where nothing can be
written, entries live as long as the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..runtime.cache import cache_root
from .entry import Entry, Unusable, from_line, to_line

_log = logging.getLogger(__name__)
_warned: set[Path] = set()
"""Folders of which it was said that nothing can be written there."""

FOLDER = "tuning"
SUPERFLUOUS_LINES = 2000
"""Lines that say nothing any more, beyond which a file is written anew."""


class Database:
    """Entries for the machine `chip`, in `folder` (None: the user's cache). Safe among threads and
    processes."""

    def __init__(self, chip: str, folder: Path | None = None):
        self.chip = chip
        self.file = (folder or cache_root() / FOLDER) / f"{chip}.jsonl"
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._stale: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()
        self._writable = True
        lines = self._load()
        if lines - len(self._entries) > SUPERFLUOUS_LINES:
            self._rewrite()

    def find(self, kind: str, subject: str, signature: str, source: str) -> Entry | None:
        """The entry, or None where there is none or it was measured of other code."""
        entry = self._entries.get((kind, subject, signature))
        if entry is None:
            return None
        if entry.source != source:
            if not self._stale:
                _log.info("%s: entries whose code has changed since are ignored", self.file)
            self._stale.add(entry.key)
            return None
        return entry

    def entries(self, kind: str = "") -> list[Entry]:
        """All entries, stale ones too, or those of one kind."""
        with self._lock:
            return [entry for entry in self._entries.values() if not kind or entry.kind == kind]

    def put(self, *entries: Entry) -> None:
        """Remember entries in place of older ones of the same key, and keep them for other processes."""
        if not entries:
            return
        with self._lock:
            for entry in entries:
                self._entries[entry.key] = entry
                self._stale.discard(entry.key)
            if self._writable:
                self._append([to_line(entry) for entry in entries])

    def clear(self, kind: str = "") -> int:
        """Forget all entries, or those of one kind; returns how many there were."""
        with self._lock:
            gone = [key for key, entry in self._entries.items() if not kind or entry.kind == kind]
            for key in gone:
                del self._entries[key]
        self._rewrite(adopt=False)
        return len(gone)

    def discard(self, is_unwanted: Callable[[Entry], bool]) -> int:
        """Forget the entries of which `is_unwanted` is true, also those that other processes added; returns
        how many they were."""
        return self._rewrite(is_unwanted=is_unwanted)

    # ---- file -------------------------------------------------------------------------------------

    def _load(self) -> int:
        """Read the file into memory; returns how many lines it has."""
        try:
            text = self.file.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            _log.warning("tuning database %s cannot be read (%s): going on without it", self.file, error)
            return 0
        faults: Counter[str] = Counter()
        lines = [line for line in text.split("\n") if line.strip()]
        for entry in self._trusted(lines, faults):
            self._entries[entry.key] = entry
        if faults:
            reasons = ", ".join(f"{number} x {reason}" for reason, number in faults.items())
            _log.warning("tuning database %s: lines are ignored (%s)", self.file, reasons)
        return len(lines)

    def _trusted(self, lines: Iterable[str], faults: Counter[str]) -> Iterator[Entry]:
        for line in lines:
            try:
                entry = from_line(line)
            except Unusable as reason:
                faults[str(reason)] += 1
                continue
            if entry.chip != self.chip:
                faults["of another chip"] += 1
                continue
            yield entry

    def _append(self, lines: list[str]) -> None:
        # Begins with a line's end: what an interrupted writer left behind stays a line of its own.
        data = ("\n" + "\n".join(lines) + "\n").encode()
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with _exclusive(self.file):
                handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                try:
                    os.write(handle, data)
                finally:
                    os.close(handle)
        except OSError as error:
            self._give_up(error)

    def _rewrite(self, adopt: bool = True, is_unwanted: Callable[[Entry], bool] = lambda entry: False) -> int:
        """Write the file anew from what is trusted: what other processes added meanwhile, too, if `adopt`.
        Returns the number of entries that were unwanted."""
        gone: list[tuple[str, str, str]] = []
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, _exclusive(self.file):
                if adopt:
                    self._load()
                gone = [key for key, entry in self._entries.items() if is_unwanted(entry)]
                for key in gone:
                    del self._entries[key]
                content = "".join(to_line(entry) + "\n" for entry in self._entries.values())
                handle, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=".writing-")
                try:
                    with os.fdopen(handle, "w", encoding="utf-8") as file:
                        file.write(content)
                    os.replace(temporary, self.file)
                except BaseException:
                    os.unlink(temporary)
                    raise
        except OSError as error:
            self._give_up(error)
        return len(gone)

    def _give_up(self, error: OSError) -> None:
        if self._writable:
            self._writable = False
            if self.file.parent in _warned:
                return
            _warned.add(self.file.parent)
            _log.warning(
                "tuning database %s cannot be written (%s): measurements are kept for this process only; "
                "set ANYCHIP_CACHE_DIR to a writable folder",
                self.file,
                error,
            )


@contextlib.contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Only one process at a time is inside; where the system has no such locks, appending whole lines in
    one call has to do."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

"""Triton's kernel cache on disk, made to survive what happens to disks.

`CheckedCacheManager` takes the place of Triton's file cache (through its official setting, and
only where the user has set none). Files and layout stay Triton's. Each group of files is kept
with checksums: a group in which one does not match counts as absent, so the kernel is compiled
again and the group replaced. Where the folder cannot be written, a temporary one that lives as
long as the process takes its place, with one warning.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from triton import knobs
from triton.runtime.cache import FileCacheManager

from ..runtime.cache import warn_unwritable

_log = logging.getLogger(__name__)
_CHECKSUMS = "sha256"


def install() -> None:
    """Use the checked cache, unless the user has chosen a cache manager."""
    if knobs.cache.manager_class is None:
        knobs.cache.manager_class = CheckedCacheManager


@functools.cache
def process_folder(process: int) -> str:
    """A folder for this process alone, removed when it ends."""
    import atexit

    folder = tempfile.mkdtemp(prefix="anychip-cache-")

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


class CheckedCacheManager(FileCacheManager):
    """Triton's file cache with checksums and a way out where nothing can be written."""

    def __init__(self, key: str, override: bool = False, dump: bool = False):
        self._for_kernels = not (override or dump)
        try:
            super().__init__(key, override=override, dump=dump)
        except OSError as error:
            if not self._for_kernels:
                raise
            self._move_to_process_folder(error)

    def put(self, data: object, filename: str, binary: bool = True) -> str:
        """Write a file of the group and return its path; where the folder cannot be written, into one of this
        process."""
        try:
            return super().put(data, filename, binary=binary)
        except OSError as error:
            if not self._for_kernels:
                raise
            self._move_to_process_folder(error)
            return super().put(data, filename, binary=binary)

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        """Write the list of a kernel's files with a checksum of each; returns its path."""
        contents = {"child_paths": group, _CHECKSUMS: {name: _digest(path) for name, path in group.items()}}
        return self.put(json.dumps(contents), f"__grp__{filename}", binary=False)

    def get_group(self, filename: str) -> dict[str, str] | None:
        """A kernel's files by name; None where one is missing or is not what was written."""
        group = self._checked_group(Path(self.cache_dir) / f"__grp__{filename}")
        if group is None and process_folder.cache_info().currsize:
            return self._checked_group(Path(self._fallback()) / f"__grp__{filename}")
        return group

    def _checked_group(self, path: Path) -> dict[str, str] | None:
        try:
            contents = json.loads(path.read_bytes())
            group, checksums = contents["child_paths"], contents.get(_CHECKSUMS)
            if checksums is None:
                return group if _is_plausible(group) else None
            damaged = [name for name, file in group.items() if _digest(file) != checksums.get(name)]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("cached kernel %s cannot be read (%s): compiling it again", path, error)
            return None
        if damaged:
            _log.warning("cached kernel %s is damaged (%s): compiling it again", path, ", ".join(damaged))
            return None
        return group

    def _fallback(self) -> str:
        return os.path.join(process_folder(os.getpid()), self.key)

    def _move_to_process_folder(self, error: OSError) -> None:
        warn_unwritable(knobs.cache.dir, error)
        self.cache_dir = self._fallback()
        self.lock_path = os.path.join(self.cache_dir, "lock")
        os.makedirs(self.cache_dir, exist_ok=True)


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _is_plausible(group: dict[str, str]) -> bool:
    """Whether a group that Triton itself wrote, without checksums, can be read at all."""
    for name, path in group.items():
        data = Path(path).read_bytes()
        if not data:
            return False
        if name.endswith(".json"):
            json.loads(data)
    return True

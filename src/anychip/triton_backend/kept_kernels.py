"""Compiled kernels in Triton's cache folder: which are ours, and taking those away again.

Flows in: the folder. Flows out: a record for each kernel that it holds. Triton keeps the kernels of all its
back ends side by side, one folder a kernel; ours are known by the first bytes of their binary.

Other processes may read and write meanwhile. Removing takes the description of a kernel's files away first,
by which processes find it, and its other files after a pause; a file that was replaced since is left, and so
is a kernel that was written just now. A process that misses a kernel compiles it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triton import knobs

from ..runtime.binary import MAGIC
from .compiler import BINARY_EXTENSION, BINARY_ONLY_EXTENSION

GROUP = "__grp__"
"""How the name of the file begins in which Triton lists a kernel's files."""
FRESH = 60.0
"""Seconds for which a kernel that was written is left alone: its files may not all be there."""
PAUSE = 1.0
"""Seconds in which a process that has read a kernel's description reads its files."""


@dataclass(frozen=True, slots=True)
class KeptKernel:
    """One kernel of the cache. `files` are paths with their inodes, `changed` the time of the latest change
    in seconds since the epoch."""

    name: str
    folder: Path
    files: tuple[tuple[Path, int], ...]
    size: int
    changed: float
    is_ours: bool


def cache_folder() -> Path:
    """Triton's cache folder."""
    return Path(knobs.cache.dir)


def kept(root: Path) -> Iterator[KeptKernel]:
    """The kernels in a cache folder; nothing where it cannot be read."""
    try:
        folders = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for folder in sorted(folders):
        kernel = _kernel(folder)
        if kernel is not None:
            yield kernel


def remove(kernels: Sequence[KeptKernel]) -> tuple[int, int]:
    """Take kernels of ours away. Returns how many were removed altogether, and their bytes."""
    latest = time.time() - FRESH
    wanted = [kernel for kernel in kernels if kernel.is_ours and kernel.changed < latest]
    for kernel in wanted:
        for path, inode in kernel.files:
            if path.name.startswith(GROUP):
                _unlink(path, inode)
    time.sleep(PAUSE if wanted else 0)
    gone = [kernel for kernel in wanted if _take_files(kernel)]
    for kernel in gone:
        try:
            kernel.folder.rmdir()
        except OSError:  # another process writes there again
            continue
    return len(gone), sum(kernel.size for kernel in gone)


def _kernel(folder: Path) -> KeptKernel | None:
    """What a folder holds; None where that is no kernel, or goes away meanwhile."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
        groups = [entry.name for entry in entries if entry.name.startswith(GROUP)]
        if not groups:
            return None
        facts = [entry.stat(follow_symlinks=False) for entry in entries]
        binaries = [entry.path for entry in entries if _may_be_ours(entry.name)]
        return KeptKernel(
            name=groups[0].removeprefix(GROUP).removesuffix(".json"),
            folder=folder,
            files=tuple((Path(entry.path), fact.st_ino) for entry, fact in zip(entries, facts)),
            size=sum(fact.st_size for fact in facts),
            changed=max(fact.st_mtime for fact in facts),
            is_ours=bool(binaries) and all(map(_is_ours, binaries)),
        )
    except OSError:
        return None


def _may_be_ours(name: str) -> bool:
    return name.endswith((f".{BINARY_EXTENSION}", f".{BINARY_ONLY_EXTENSION}"))


def _is_ours(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _take_files(kernel: KeptKernel) -> bool:
    """Remove the files of a kernel whose description is gone. Returns whether all are."""
    if any(path.name.startswith(GROUP) and path.exists() for path, _ in kernel.files):
        return False  # another process has compiled it again
    left = [path for path, inode in kernel.files if not _unlink(path, inode)]
    return not left


def _unlink(path: Path, inode: int) -> bool:
    """Remove a file unless it was replaced meanwhile. Returns whether it is gone."""
    try:
        if path.stat(follow_symlinks=False).st_ino != inode:
            return False
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True

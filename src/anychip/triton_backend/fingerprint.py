"""Digests of installed programs, computed once for an installation. Flows in: the folders that a digest is
of, and the function that computes it. Flows out: the digest, kept under what the file system says of the
files (names, sizes, times of change): the next process reads a few directories and not half a gigabyte.

Triton's own digest, part of the key of every kernel, is of its compiled library; `install` has it kept so.
The digest stays Triton's, and caches that were filled without us stay valid.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..runtime.cache import ObjectCache
from ..signatures import is_known

FOLDER = "fingerprints"
SUFFIXES = (".py", ".so", ".pyd")
"""The files of a program; what else lies beside them (bytecode, data) shapes no kernel."""


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The program's files below `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            elif entry.name.endswith(SUFFIXES):
                yield entry


def state(places: Iterable[Path]) -> str:
    """What tells one state of the files in `places` from another without reading them."""
    lines = []
    for place in places:
        for entry in _files(place):
            facts = entry.stat()
            lines.append(f"{entry.path}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def remembered(name: str, places: Iterable[Path], compute: Callable[[], str]) -> str:
    """`compute()`, or what it came to when the files in `places` were last in the state they are in now."""
    try:
        key = f"{name}-{state(places)}"
    except OSError:  # a file went away meanwhile
        return compute()
    cache = ObjectCache(FOLDER)
    kept = cache.get(key)
    if kept is not None:
        return kept.decode()
    digest = compute()
    cache.put(key, digest.encode())
    return digest


@functools.cache
def install() -> None:
    """Have Triton's digest of itself remembered."""
    from triton.runtime import cache

    stock = getattr(cache, "triton_key", None)
    if stock is None or not is_known(stock, ()):  # it is computed in each process then
        return
    package = Path(cache.__file__).parent.parent

    @functools.cache
    @functools.wraps(stock)
    def triton_key() -> str:
        return remembered("triton", (package,), stock)

    setattr(cache, "triton_key", triton_key)  # noqa: B010 (its type is exact)

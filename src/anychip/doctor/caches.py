"""Checks of the folders where compiled code is kept. Flows in: the environment. Flows out: a `Check` each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .check import Check


def kernel_cache() -> Check:
    """Whether Triton's cache of kernels can be written, and how full it is."""
    from triton import knobs

    return _cache("Kernel cache", Path(knobs.cache.dir), "TRITON_CACHE_DIR")


def runtime_cache() -> Check:
    """Whether the runtime's own cache can be written, and how full it is."""
    from ..runtime.cache import cache_root

    return _cache("Runtime cache", cache_root(), "ANYCHIP_CACHE_DIR")


def _cache(subject: str, folder: Path, variable: str) -> Check:
    size, files = _size(folder)
    found = f"{folder}, {size / 2**20:.1f} MiB in {files} files"
    details = {"folder": str(folder), "bytes": size, "files": files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"Set {variable} to a folder that can be written ({error.strerror})."
        return Check(subject, "wrong", f"{found}, not writable", remedy, {**details, "writable": False})
    return Check(subject, "ok", f"{found}, writable", details={**details, "writable": True})


def _size(folder: Path) -> tuple[int, int]:
    size = files = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(root, name)).st_size
                files += 1
            except OSError:
                continue
    return size, files

"""A folder of object code that checks itself.

Used for the native part of the runtime; compiled kernels live in Triton's own cache. Entries are
written whole or not at all (a temporary file renamed into place), carry a checksum, and are
treated as absent when they do not match it. A folder that cannot be written costs one warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)
_warned: set[str] = set()

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_root() -> Path:
    """`ANYCHIP_CACHE_DIR`, or `anychip` in the user's cache folder."""
    chosen = os.environ.get("ANYCHIP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anychip"


class ObjectCache:
    """Bytes by key in the folder `name` of the cache. Safe among processes."""

    def __init__(self, name: str):
        self.folder = cache_root() / name

    def get(self, key: str) -> bytes | None:
        """What was put under `key`, or None when it is absent or damaged."""
        try:
            data = (self.folder / key).read_bytes()
        except OSError:
            return None
        digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return body if hashlib.sha256(body).digest() == digest else None

    def put(self, key: str, body: bytes) -> None:
        """Keep `body` under `key`; where the folder cannot be written, warn once and go on."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                os.replace(temporary, self.folder / key)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            warn_unwritable(self.folder, error)


def warn_unwritable(folder: Path | str, error: OSError) -> None:
    """Say once for each folder that nothing can be kept there."""
    if str(folder) not in _warned:
        _warned.add(str(folder))
        _log.warning(
            "cache folder %s cannot be written (%s): compiled code is kept for this process only; "
            "set ANYCHIP_CACHE_DIR and TRITON_CACHE_DIR to writable folders",
            folder,
            error,
        )

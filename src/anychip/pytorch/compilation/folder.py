"""Inductor's cache folder, into which it writes the modules that it generates. Flows in: the folder that the
environment names. Flows out: the same one, or, where nothing can be written, one for this process alone:
Inductor itself would end the compilation."""

from __future__ import annotations

import logging
import os
import tempfile

from torch._inductor.runtime.cache_dir_utils import cache_dir

from ...triton_backend.kernel_cache import process_folder

_log = logging.getLogger(__name__)

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
MODULE_BYTES = 1 << 18
"""As much as a large graph's module takes."""


def require_room(folder: str) -> None:
    """Raise OSError where no module of Inductor's could be written."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(MODULE_BYTES))


def settle() -> None:
    """Make sure that Inductor can write, with one warning where its folder has to be another one."""
    folder = cache_dir()
    try:
        require_room(folder)
    except OSError as error:
        _log.warning(
            "Inductor's cache folder %s cannot be written (%s): graphs are kept for this process only; "
            "set %s to a writable folder",
            folder,
            error,
            VARIABLE,
        )
        os.environ[VARIABLE] = os.path.join(process_folder(os.getpid()), "inductor")

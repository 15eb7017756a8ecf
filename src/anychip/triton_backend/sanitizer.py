"""Whether kernels are compiled with checks: the environment variable ANYCHIP_SANITIZE.

Read once, since kernels that are compiled already stay what they are. With "1", each access is compared with
the memory of its argument's tensor (`compiler.schedule.bounds`), and one outside raises `OutOfBounds`.
"""

from __future__ import annotations

import functools
import os

VARIABLE = "ANYCHIP_SANITIZE"


@functools.cache
def is_on() -> bool:
    """Whether this process checks its kernels."""
    return os.environ.get(VARIABLE, "") not in ("", "0")

"""Which checks kernels are compiled with: the environment variable ANYCHIP_SANITIZE.

Read once, since kernels that are compiled already stay what they are: "1" for the checks that nearly every
kernel should pass (`USUAL`), "all", or names with commas between them. What a check finds raises a
`CheckFailed` at the launch, unless somebody listens (`runtime.checks`).
"""

from __future__ import annotations

import functools
import os

from ..compiler.codegen.check_table import Check
from ..environment import SANITIZE
from ..errors import AnychipError

USUAL = frozenset({Check.BOUNDS, Check.OVERFLOW, Check.UNINITIALISED, Check.ALIGNMENT})


class UnknownCheck(AnychipError, ValueError):
    """The name of a check that there is not."""


def parse(text: str) -> frozenset[Check]:
    """The checks that a text asks for: "", "0", "1", "all", or names. Raises UnknownCheck."""
    if text in ("", "0"):
        return frozenset()
    if text in ("1", "all"):
        return USUAL if text == "1" else frozenset(Check)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in list(Check)]
    if unknown:
        raise UnknownCheck(
            f"there is no check {unknown[0]!r}; there are {', '.join(Check)}, or 1 for "
            f"{', '.join(sorted(USUAL))}, or all"
        )
    return frozenset(map(Check, names))


@functools.cache
def wanted() -> frozenset[Check]:
    """The checks of this process's kernels."""
    return parse(os.environ.get(SANITIZE, ""))

"""Why an operator is slower than PyTorch's own: sentences written by people in `explanations.toml`.

Flows in: a speed. Flows out: the sentence for it, or nothing where nobody has found out.
"""

from __future__ import annotations

import fnmatch
import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .operator_speed import SLOW, Speed

FILE = Path(__file__).with_name("explanations.toml")
CALL_SECONDS = 12e-6
"""What a call may cost above PyTorch's own: the promise that `anychip bench overhead` measures."""
CALL = "the cost of a call through Python"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sentence, for overloads that match one of the shell patterns, at the named sizes (none: at all)."""

    overloads: tuple[str, ...]
    text: str
    sizes: tuple[str, ...] = ()

    def about(self, speed: Speed) -> bool:
        """Whether it explains this row."""
        return (not self.sizes or speed.size in self.sizes) and any(
            fnmatch.fnmatchcase(speed.overload, pattern) for pattern in self.overloads
        )


@functools.cache
def explanations() -> tuple[Explanation, ...]:
    """Those of the file, in order."""
    with FILE.open("rb") as stream:
        listed = tomllib.load(stream).get("explanation", [])
    return tuple(
        Explanation(tuple(one["overloads"]), one["text"], tuple(one.get("sizes", ()))) for one in listed
    )


def explanation(speed: Speed, known: Sequence[Explanation] | None = None) -> str:
    """Why a row is slow; empty where nothing explains it. A call that costs no more above PyTorch's than
    a call may is explained by that."""
    if not speed.timed or speed.ratio >= SLOW:
        return ""
    if speed.ours - speed.native <= CALL_SECONDS:
        return CALL
    for one in explanations() if known is None else known:
        if one.about(speed):
            return one.text
    return ""

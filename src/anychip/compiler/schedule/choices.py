"""What a search may decide in place of the rules: unrolling, order of loops, where carried tiles live, order
of the grid, and the grain of threads.

Flows in: text such as "unroll=4 grid=y", as it stands in a kernel's compile options and in the tuning
database. Flows out: `Choices`, which scheduler, code generation and runtime ask. What is not named is left
to the rules. No choice changes what a kernel computes, but for the order of a reduction's sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import CompileError

VALUES: dict[str, tuple[int, ...] | tuple[str, ...]] = {
    "unroll": (1, 2, 4, 8, 16),
    "vector": ("second",),
    "loops": ("across",),
    "carried": ("memory", "registers"),
    "grid": ("y",),
    "grain": tuple(1 << k for k in range(13)),
}
"""What each may be, besides nothing."""


class UnknownChoice(CompileError, ValueError):
    """A compile option that names no choice, or a value that the choice does not have."""


@dataclass(frozen=True, slots=True)
class Choices:
    """`unroll`: chunks in the body of a nest. `vector`: "second", the second best vector axis, so that a
    reduction goes across lanes instead of along them or the other way round. `loops`: "across", the loop over
    the vector axis outside of those over the other axes. `carried`: a loop's carried tiles stay in "memory"
    or, piece by piece, in "registers". `grid`: "y", neighbours along y run one after the other instead of
    neighbours along x. `grain`: program instances that a thread takes at once, at least, before another is
    woken."""

    unroll: int = 0
    vector: str = ""
    loops: str = ""
    carried: str = ""
    grid: str = ""
    grain: int = 0

    def __str__(self) -> str:
        named = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return " ".join(f"{name}={value}" for name, value in named if value)


BY_RULES = Choices()


def of(values: Mapping[str, Any]) -> Choices:
    """Choices by name; the value of nothing (0, "") leaves one to the rules. Raises UnknownChoice."""
    for name, value in values.items():
        known = VALUES.get(name, ())
        if type(value) not in map(type, known[:1]) or (value and value not in known):
            listed = ", ".join(f"{n}={'|'.join(map(str, v))}" for n, v in VALUES.items())
            raise UnknownChoice(f"no scheduler's choice is {name}={value!r}; there are {listed}")
    return Choices(**values)


def parse(text: str) -> Choices:
    """The choices in a text of `name=value` words, as `str` writes them. Raises UnknownChoice."""
    values: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        values[name] = int(value) if value.isdecimal() else value or None
    return of(values)

"""What is exported, as plain data: the launches, the tensors that go in and come out, an example call.

Whoever has a recorded function (`anychip.pytorch.program`) describes it in these terms; the rest of the
room knows no tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..runtime.program import LaunchList
from .errors import ExportError


@dataclass(frozen=True, slots=True)
class ElementType:
    """A dtype in C: its type, its bytes, how the example compares it ("float", "half", ... or "bits"),
    and the difference, relative to the largest element, that the example allows."""

    c_type: str
    bytes: int
    compared_as: str
    tolerance: float


ELEMENT_TYPES: dict[str, ElementType] = {
    "float32": ElementType("float", 4, "float", 1e-5),
    "float64": ElementType("double", 8, "double", 1e-12),
    "float16": ElementType("uint16_t", 2, "half", 2e-3),
    "bfloat16": ElementType("uint16_t", 2, "brain", 1.6e-2),
    "float8_e4m3fn": ElementType("uint8_t", 1, "bits", 0.0),
    "float8_e5m2": ElementType("uint8_t", 1, "bits", 0.0),
    "int64": ElementType("int64_t", 8, "bits", 0.0),
    "int32": ElementType("int32_t", 4, "bits", 0.0),
    "int16": ElementType("int16_t", 2, "bits", 0.0),
    "int8": ElementType("int8_t", 1, "bits", 0.0),
    "uint8": ElementType("uint8_t", 1, "bits", 0.0),
    "bool": ElementType("uint8_t", 1, "bits", 0.0),
}
"""PyTorch's names of dtypes -> C."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor whose elements lie in memory of the caller, from `byte_offset` on, without gaps."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    byte_offset: int = 0

    @property
    def element(self) -> ElementType:
        """Raises ExportError for a dtype that has no C type."""
        try:
            return ELEMENT_TYPES[self.dtype]
        except KeyError:
            raise ExportError(
                f"{self.name} is a tensor of {self.dtype}, which the C interface has no type for\n"
                f"  Convert it to one of {', '.join(ELEMENT_TYPES)}."
            ) from None

    @property
    def bytes(self) -> int:
        """Bytes of its elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count * self.element.bytes


@dataclass(frozen=True, slots=True)
class Argument:
    """Memory that the caller of the library gives: `size` bytes holding one or more tensors."""

    name: str
    size: int
    tensors: tuple[TensorPlace, ...]

    @property
    def c_type(self) -> str:
        """The C type of its elements; `void` where it holds several tensors."""
        return self.tensors[0].element.c_type if len(self.tensors) == 1 else "void"


@dataclass(frozen=True, slots=True)
class Generation:
    """A text continued: tokens of the prompt, the answer's tokens here, each the one that the model gave for
    those before it, the float32 bytes of what it gave the last one from, and the least lead of a token's
    logit over the second, relative to the largest logit. The inputs of a call are a token and its position,
    the outputs the logits and the next token."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    last_logits: bytes
    least_lead: float


@dataclass(frozen=True, slots=True)
class ExportedFunction:
    """A function to export. `inputs` and `outputs` belong one by one to the launch list's; the bytes of an
    example call, in this machine's byte order, are in `example_inputs` and, as PyTorch computes them,
    `example_outputs`.

    `state` is the name of the memory that calls hand on, all zeros before the first one, and "" where there
    is none. `below` says, for inputs of one int64, which number each must be below (and not negative). A
    model that continues text has a `generation` as its example. `keeps` holds the memory of the constants.
    """

    name: str
    launches: LaunchList
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    example_inputs: tuple[bytes, ...]
    example_outputs: tuple[bytes, ...]
    state: str = ""
    below: Mapping[str, int] = field(default_factory=dict[str, int])
    generation: Generation | None = None
    keeps: object = None


def identifier(text: str) -> str:
    """`text` as a C identifier in lower case: other characters become single underscores."""
    made = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").lower()
    return f"n{made}" if not made or made[0].isdigit() else made


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Identifiers for names, told apart by a number where two would be the same."""
    taken: dict[str, int] = {}
    made = []
    for name in map(identifier, names):
        taken[name] = taken.get(name, 0) + 1
        made.append(name if taken[name] == 1 else f"{name}_{taken[name]}")
    return tuple(made)

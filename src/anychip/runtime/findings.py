"""What a check of a kernel found, in words: kernel, source line, program, lane, tensor and index.

In: a site of a kernel (`compiler.codegen.check_table`), what its record holds after a launch, and how the
argument's tensor is laid out. Out: a `Finding`, as text and as JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..compiler.codegen.check_table import Check, Kind, Site


@dataclass(frozen=True, slots=True)
class View:
    """How a pointer argument's tensor lies in memory. `shape` and `strides` (in elements); `size` bytes of an
    element; `memory`: the first byte of the memory that it is a view of, from the pointer on, and the one
    behind its last. `known`: there is a tensor, and not merely an address."""

    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    size: int = 1
    memory: tuple[int, int] = (0, 0)
    known: bool = True

    @property
    def bytes(self) -> int:
        """Bytes from the first element to behind the last one."""
        if 0 in self.shape:
            return 0
        steps = sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        return (steps + 1) * self.size

    def index(self, offset: int) -> tuple[int, ...]:
        """The index of the element at a byte: what is beyond the tensor is beyond its extent along the axis
        of the largest stride, or, between its rows, along an inner one."""
        left = offset // self.size
        index = [0] * len(self.shape)
        axes = [axis for axis, stride in enumerate(self.strides) if stride]
        for axis in sorted(axes, key=lambda axis: (-self.strides[axis], -self.shape[axis])):
            index[axis], left = divmod(left, self.strides[axis])
        if left and self.shape:
            index[-1] += left
        return tuple(index)


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed: `count` lanes in one launch, the first one in `lane` of its tile (row-major), in
    `program` (x, y, z). `offset` counts bytes from the argument's address. `detail`: the offset meant
    (overflow), the other program's number and one (race), the bits of the number (not finite). `launches`: in
    how many launches this was seen."""

    kernel: str
    site: Site
    program: tuple[int, int, int]
    lane: int
    offset: int
    detail: int
    count: int
    view: View
    launches: int = 1

    @property
    def index(self) -> tuple[int, ...]:
        """The index in the argument's tensor, one number for each of its axes."""
        return self.view.index(self.offset)

    @property
    def key(self) -> tuple[object, ...]:
        """What is the same for findings of one fault."""
        return (self.kernel, self.site.check, self.site.kind, self.site.place, self.site.argument)

    def again(self, other: Finding) -> Finding:
        """This finding and another one of the same fault, as one."""
        return replace(self, count=self.count + other.count, launches=self.launches + other.launches)

    def __str__(self) -> str:
        site = self.site
        text = f"{self.kernel}, program instance {self.program}, lane {self.lane}, {site.place}: "
        text += f"{site.kind} {self._element()}{_SAYINGS[site.check](self)}"
        return text if self.count == 1 else f"{text} ({self.count} lanes)"

    def _element(self) -> str:
        site = self.site
        if site.check is Check.ALIGNMENT:
            return f"a tensor by a descriptor: {site.argument}"
        if not site.argument:
            return "memory through an address of unknown origin"
        place = f"(byte {self.offset} from the pointer)"
        if not self.view.known or not self.view.shape:
            return f"element {self.offset // site.size} of {site.argument} {place}"
        index = ", ".join(map(str, self.index))
        return f"{site.argument}[{index}] of shape {self.view.shape} and strides {self.view.strides} {place}"

    def to_json(self) -> dict[str, Any]:
        """Everything, by name."""
        fields = asdict(self)
        site = fields.pop("site")
        return {**site, **fields, "index": list(self.index), "text": str(self)}


def _bounds(finding: Finding) -> str:
    low, high = (end // finding.site.size for end in finding.view.memory)
    inside = finding.view.memory[0] <= finding.offset <= finding.view.memory[1] - finding.site.size
    if inside:
        return ", which is outside of this view, though inside of the memory that it is a view of"
    if low >= high:
        return ", which is out of bounds; it has no memory"
    return f", which is out of bounds; its memory holds elements {low} to {high - 1}"


def _overflow(finding: Finding) -> str:
    return (
        f", whose offset overflowed in 32 bits: {finding.detail} was meant, which is not between -2^31 and "
        "2^31 - 1; compute it in tl.int64"
    )


def _uninitialised(finding: Finding) -> str:
    return ", which nobody has written"


def _alignment(finding: Finding) -> str:
    return " is not a multiple of 16 bytes, as GPUs demand"


def _race(finding: Finding) -> str:
    return ", and so does another program instance of this launch, in no order; one of the two writes it"


def _nonfinite(finding: Finding) -> str:
    return f": {_number(finding.detail, finding.site.element)}, the first number that is not finite"


def _number(bits: int, element: str) -> str:
    formats: dict[str, tuple[str, str, int]] = {
        "f16": ("<H", "<e", 0),
        "bf16": ("<I", "<f", 16),
        "f32": ("<I", "<f", 0),
        "f64": ("<Q", "<d", 0),
    }
    if element not in formats:
        return hex(bits)
    whole, number, shift = formats[element]
    size = struct.calcsize(whole)
    return str(struct.unpack(number, struct.pack(whole, (bits << shift) & ((1 << 8 * size) - 1)))[0])


_SAYINGS = {
    Check.BOUNDS: _bounds,
    Check.OVERFLOW: _overflow,
    Check.UNINITIALISED: _uninitialised,
    Check.ALIGNMENT: _alignment,
    Check.RACE: _race,
    Check.NONFINITE: _nonfinite,
}


def first_nonfinite(findings: Sequence[Finding]) -> list[Finding]:
    """Without findings of numbers that are not finite in launches that read such numbers: there these did not
    appear first."""
    told = any(f.site.check is Check.NONFINITE and f.site.kind is Kind.READ for f in findings)
    return [f for f in findings if f.site.check is not Check.NONFINITE or not told]

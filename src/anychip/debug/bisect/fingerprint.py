"""What is remembered of a tensor: a hash of its bits, statistics, and a sketch by which the distance between
two tensors is told from their fingerprints alone. Flows in: a tensor, read once by a kernel. Flows out: some
250 bytes of JSON.

The sketch is a count sketch: each element is added, with a sign that a hash of its position gives, to one of
SKETCH sums. The sketch of a difference is the difference of the sketches, and the expected sum of its squares
is that of the difference's elements (M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data
streams", 2002; N. Alon, Y. Matias, M. Szegedy, "The space complexity of approximating the frequency moments",
1996). With 16 sums the distance is right within a third most of the time.
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
import triton
import triton.language as tl

SKETCH = 16
"""Sums of a sketch."""

_HASH, _SQUARES, _FINITE, _LARGEST = range(SKETCH, SKETCH + 4)
_COLUMNS = SKETCH + 4
"""What a program instance of the kernel writes: the sketch, then these."""

_ROWS = 64
"""Elements that one sum takes before it is added in double precision."""

_PROGRAM = 1 << 16
"""Elements of one program instance."""


@triton.jit
def _mixed(x):
    """A hash of 32 bits, in which each bit of `x` changes half of the others."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x1FFFF)) * 0x2C1B3C6D
    return x ^ ((x >> 16) & 0xFFFF)


@triton.jit(do_not_specialize=["x", "n"], do_not_specialize_on_alignment=["x", "n"])
def fingerprint_kernel(x, out, n, PROGRAM: tl.constexpr, ROWS: tl.constexpr, SKETCH: tl.constexpr):
    """Fingerprint of `x` (n elements) in pieces: `out` (programs, SKETCH + 4), float64."""
    program = tl.program_id(0)
    column = tl.arange(0, SKETCH)
    inside = tl.arange(0, ROWS)[:, None] * SKETCH + column[None, :]
    sketch = tl.zeros((SKETCH,), tl.float64)
    squares = tl.zeros((SKETCH,), tl.float64)
    largest = tl.zeros((SKETCH,), tl.float64)
    finite = tl.zeros((SKETCH,), tl.int32)
    hashes = tl.zeros((SKETCH,), tl.int32)
    for start in range(0, PROGRAM, ROWS * SKETCH):
        if program.to(tl.int64) * PROGRAM + start < n:
            at = program.to(tl.int64) * PROGRAM + start + inside
            mask = at < n
            value = tl.load(x + at, mask=mask, other=0)
            place = _mixed(at.to(tl.int32))
            width: tl.constexpr = value.dtype.primitive_bitwidth
            if value.dtype.is_floating():
                if width == 64:
                    bits = value.to(tl.int64, bitcast=True)
                elif width == 32:
                    bits = value.to(tl.int32, bitcast=True)
                elif width == 16:
                    bits = value.to(tl.int16, bitcast=True).to(tl.int32)
                else:
                    bits = value.to(tl.int8, bitcast=True).to(tl.int32)
            else:
                bits = value
            if width == 64:
                low = bits.to(tl.int32) ^ _mixed((bits >> 32).to(tl.int32) + 1)
            else:
                low = bits.to(tl.int32)
            hashes += tl.sum(tl.where(mask, _mixed(low ^ place), 0), 0)
            if width == 64:
                number = value.to(tl.float64)
            else:
                number = value.to(tl.float32)
            size = tl.abs(number)
            good = size < float("inf")
            number = tl.where(good, number, 0.0)
            finite += tl.sum((good & mask).to(tl.int32), 0)
            largest = tl.maximum(largest, tl.max(tl.where(good, size, 0.0), 0).to(tl.float64))
            squares += tl.sum(number * number, 0).to(tl.float64)
            sketch += tl.sum(tl.where(place < 0, -number, number), 0).to(tl.float64)
    out += program * (SKETCH + 4)
    tl.store(out + column, sketch)
    tl.store(out + SKETCH, tl.sum(hashes, 0).to(tl.float64))
    tl.store(out + SKETCH + 1, tl.sum(squares, 0))
    tl.store(out + SKETCH + 2, tl.sum(finite, 0).to(tl.float64))
    tl.store(out + SKETCH + 3, tl.max(largest, 0))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is remembered of a tensor. `digest` is a hash of 32 bits of its elements and their positions,
    `rms` the root of the mean square of its finite elements, `largest` their largest magnitude, `nonfinite`
    how many others there are."""

    dtype: str
    shape: tuple[int, ...]
    digest: int
    nonfinite: int = 0
    largest: float = 0.0
    rms: float = 0.0
    sketch: tuple[float, ...] = ()

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)

    def same(self, other: Fingerprint) -> bool:
        """Whether both tensors hold the same bits, but for one chance in 2^32."""
        return self == other

    def distance(self, other: Fingerprint) -> float:
        """The root of the mean square of the difference of two tensors, by that of the larger one's elements;
        infinite where shapes differ, or the number of elements that are not finite does."""
        if self.same(other):
            return 0.0
        if self.elements != other.elements or self.nonfinite != other.nonfinite:
            return math.inf
        squares = sum((a - b) ** 2 for a, b in zip(self.sketch, other.sketch, strict=True))
        size = max(self.rms, other.rms)
        return math.sqrt(squares / max(self.elements, 1)) / size if size else math.inf

    def to_json(self) -> list[Any]:
        """A list for a trace; the sketch in base 64, in double precision."""
        sketch = base64.b64encode(numpy.asarray(self.sketch, "<f8").tobytes()).decode()
        numbers = [float(f"{x:.4g}") for x in (self.largest, self.rms)]
        return [self.dtype, list(self.shape), f"{self.digest:08x}", self.nonfinite, *numbers, sketch]

    @classmethod
    def from_json(cls, told: Sequence[Any]) -> Fingerprint:
        """The fingerprint of such a list."""
        dtype, shape, digest, nonfinite, largest, rms, sketch = told
        sums = numpy.frombuffer(base64.b64decode(sketch), "<f8")
        return cls(
            str(dtype), tuple(shape), int(digest, 16), int(nonfinite), float(largest), float(rms), tuple(sums)
        )


_FEW = 64
"""Program instances for whose results there is memory already."""


@functools.cache
def _room() -> tuple[torch.Tensor, Any]:
    """Memory for the results of a few program instances, as a tensor and as NumPy sees it."""
    array = numpy.empty((_FEW, _COLUMNS))
    return torch.from_numpy(array), array


_compiled: dict[tuple[torch.dtype, str], Any] = {}
"""The kernel as it was compiled for a type on this machine's processor, which is launched without Triton's
binder."""


def _launch(programs: int, x: torch.Tensor, out: torch.Tensor) -> None:
    key = x.dtype, x.device.type
    known = _compiled.get(key)
    constants = _PROGRAM, _ROWS, SKETCH
    if known is not None:
        what = known.function, known.packed_metadata
        known.run(programs, 1, 1, 0, *what, None, None, None, x, out, x.numel(), *constants)
        return
    made = fingerprint_kernel[(programs,)](x, out, x.numel(), *constants)
    if x.device.type == "cpu":
        _compiled[key] = made


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """The fingerprint of a tensor with memory (no operator may be watched meanwhile)."""
    name, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    x = tensor.detach()
    if x.is_conj() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    if x.is_complex():
        x = torch.view_as_real(x)
    if x.dtype == torch.bool:
        x = x.view(torch.uint8)
    if not x.is_contiguous():
        x = x.contiguous()
    if not x.numel():
        return Fingerprint(name, shape, 0)
    programs = -(-x.numel() // _PROGRAM)
    if programs <= _FEW and x.device.type == "cpu":
        out, parts = _room()
        parts = parts[:programs]
        _launch(programs, x, out)
    else:
        out = torch.empty(programs, _COLUMNS, dtype=torch.float64, device=x.device)
        _launch(programs, x, out)
        parts = out.cpu().numpy()
    sums = parts.sum(0) if programs > 1 else parts[0]
    finite = int(sums[_FINITE])
    return Fingerprint(
        name,
        shape,
        int(sums[_HASH]) & 0xFFFFFFFF,
        x.numel() - finite,
        float(parts[:, _LARGEST].max()),
        math.sqrt(float(sums[_SQUARES]) / max(finite, 1)),
        tuple(sums[:SKETCH].tolist()),
    )


def together(prints: Sequence[Fingerprint]) -> Fingerprint:
    """One fingerprint of many tensors, as if they were one; the order counts."""
    elements = sum(x.elements for x in prints)
    digest, sketch, squares = 0, [0.0] * SKETCH, 0.0
    for x in prints:
        digest = (digest * 0x01000193 ^ x.digest) & 0xFFFFFFFF
        squares += x.rms**2 * (x.elements - x.nonfinite)
        sketch = [a + b for a, b in zip(sketch, x.sketch or [0.0] * SKETCH)]
    nonfinite = sum(x.nonfinite for x in prints)
    return Fingerprint(
        prints[0].dtype,
        (elements,),
        digest,
        nonfinite,
        max(x.largest for x in prints),
        math.sqrt(squares / max(elements - nonfinite, 1)),
        tuple(sketch),
    )

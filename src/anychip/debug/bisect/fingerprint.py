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
import json
import math
import struct
from binascii import b2a_base64 as _base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
import triton
import triton.language as tl

SKETCH = 16
"""Sums of a sketch."""

_HASH, _SQUARES, _INFINITE, _LARGEST = range(SKETCH, SKETCH + 4)
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


@triton.jit
def _bits_of(value):
    """The bits of elements as 32-bit numbers, those of 64 bits folded."""
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
        return bits.to(tl.int32) ^ _mixed((bits >> 32).to(tl.int32) + 1)
    else:
        return bits.to(tl.int32)


@triton.jit
def _signed(number, key):
    """A number with the sign that its position gives it."""
    if number.dtype == tl.float32:
        turned = number.to(tl.int32, bitcast=True) ^ (key & -2147483648)
        return turned.to(tl.float32, bitcast=True)
    else:
        return tl.where(key < 0, -number, number)


@triton.jit(do_not_specialize=["x", "n"], do_not_specialize_on_alignment=["x", "n"])
def fingerprint_kernel(
    x,
    out,
    n,
    PROGRAM: tl.constexpr,
    ROWS: tl.constexpr,
    SKETCH: tl.constexpr,
    CAREFUL: tl.constexpr,
):
    """Fingerprint of `x` (n elements) in pieces: `out` (programs, SKETCH + 4), float64. Without CAREFUL all
    elements are taken as finite; where one is not, so is the sum of squares. Hashes of positions are made for
    rows of SKETCH elements and multiplied by an odd number for each column."""
    program = tl.program_id(0)
    column = tl.arange(0, SKETCH)
    row = tl.arange(0, ROWS)
    odd = (_mixed(column + 1) | 1)[None, :]
    sketch = tl.zeros((SKETCH,), tl.float64)
    squares = tl.zeros((SKETCH,), tl.float64)
    largest = tl.zeros((SKETCH,), tl.float64)
    infinite = tl.zeros((SKETCH,), tl.int32)
    hashes = tl.zeros((SKETCH,), tl.int32)
    first = program.to(tl.int64) * PROGRAM
    for start in tl.range(first, min(first + PROGRAM, n), ROWS * SKETCH):
        at = start + (row[:, None] * SKETCH + column[None, :])
        value = tl.load(x + at, mask=at < n, other=0)
        key = _mixed((start // SKETCH).to(tl.int32) + row + 1)[:, None] * odd
        mixed = (_bits_of(value) ^ key) * 0x7FEB352D
        mixed = (mixed ^ ((mixed >> 15) & 0x1FFFF)) * 0x2C1B3C6D
        hashes += tl.sum(mixed ^ ((mixed >> 16) & 0xFFFF), 0)
        if value.dtype.primitive_bitwidth == 64:
            number = value.to(tl.float64)
        else:
            number = value.to(tl.float32)
        size = tl.abs(number)
        if CAREFUL:
            good = size < float("inf")
            number = tl.where(good, number, 0.0)
            size = tl.where(good, size, 0.0)
            infinite += tl.sum(tl.where(good, 0, 1), 0)
        largest = tl.maximum(largest, tl.max(size, 0).to(tl.float64))
        squares += tl.sum(number * number, 0).to(tl.float64)
        sketch += tl.sum(_signed(number, key), 0).to(tl.float64)
    out += program * (SKETCH + 4)
    tl.store(out + column, sketch)
    tl.store(out + SKETCH, tl.sum(hashes, 0).to(tl.float64))
    tl.store(out + SKETCH + 1, tl.sum(squares, 0))
    tl.store(out + SKETCH + 2, tl.sum(infinite, 0).to(tl.float64))
    tl.store(out + SKETCH + 3, tl.max(largest, 0))


_DOUBLES = {count: struct.Struct(f"<{count}d") for count in (0, SKETCH, _COLUMNS)}


@functools.cache
def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@functools.cache
def _list(numbers: tuple[int, ...]) -> str:
    return json.dumps(numbers, separators=(",", ":"))


def _number(x: float) -> str:
    """A number of four digits in JSON, as Python reads it."""
    return f"{x:.4g}" if math.isfinite(x) else json.dumps(x)


class Fingerprint(NamedTuple):
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
        return list(json.loads(self.line()))

    def line(self) -> str:
        """The text of that list, written without an encoder: there is one for each result of a run."""
        sketch = _base64(_DOUBLES[len(self.sketch)].pack(*self.sketch), newline=False).decode()
        largest, rms = (_number(x) for x in (self.largest, self.rms))
        what = f'"{self.dtype}",{_list(self.shape)},"{self.digest:08x}",{self.nonfinite}'
        return f'[{what},{largest},{rms},"{sketch}"]'

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


class _Room:
    """Memory for the results of a few program instances, as a tensor, as NumPy sees it, and as bytes."""

    def __init__(self) -> None:
        self.array = numpy.empty((_FEW, _COLUMNS))
        self.tensor = torch.from_numpy(self.array)
        self.bytes = self.array.data.cast("B")


_room = functools.cache(_Room)

_compiled: dict[tuple[torch.dtype, str, bool, bool], Any] = {}
"""The kernel as it was compiled for a type on this machine's processor, which is launched without Triton's
binder."""


def _launch(programs: int, x: torch.Tensor, n: int, out: torch.Tensor, careful: bool) -> None:
    key = x.dtype, x.device.type, n < 1 << 31, careful
    known = _compiled.get(key)
    constants = _PROGRAM, _ROWS, SKETCH, careful
    if known is not None:
        what = known.function, known.packed_metadata
        known.run(programs, 1, 1, 0, *what, None, None, None, x, out, n, *constants)
        return
    made = fingerprint_kernel[(programs,)](x, out, n, *constants)
    if x.device.type == "cpu":
        _compiled[key] = made


def _sums(x: torch.Tensor, n: int, careful: bool) -> Sequence[float]:
    """What the kernel gives for a contiguous tensor, of all programs together."""
    programs = -(-n // _PROGRAM)
    if programs > _FEW or x.device.type != "cpu":
        out = torch.empty(programs, _COLUMNS, dtype=torch.float64, device=x.device)
        _launch(programs, x, n, out, careful)
        parts = out.cpu().numpy()
    else:
        room = _room()
        _launch(programs, x, n, room.tensor, careful)
        if programs == 1:
            return _DOUBLES[_COLUMNS].unpack_from(room.bytes)
        parts = room.array[:programs]
    sums = parts.sum(0).tolist()
    sums[_LARGEST] = float(parts[:, _LARGEST].max())
    return sums


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """The fingerprint of a tensor with memory (no operator may be watched meanwhile)."""
    dtype, shape, n = tensor.dtype, tuple(tensor.shape), tensor.numel()
    name = _name(dtype)
    if not n:
        return Fingerprint(name, shape, 0)
    x = tensor
    if dtype.is_complex or x.is_neg():
        x = (
            torch.view_as_real(x.detach().resolve_conj().resolve_neg())
            if dtype.is_complex
            else x.resolve_neg()
        )
        n = x.numel()
    if dtype == torch.bool:
        x = x.detach().view(torch.uint8)
    if not x.is_contiguous():
        x = x.detach().contiguous()
    sums = _sums(x, n, False)
    if not math.isfinite(sums[_SQUARES]):
        sums = _sums(x, n, True)
    finite = n - int(sums[_INFINITE])
    return Fingerprint(
        name,
        shape,
        int(sums[_HASH]) & 0xFFFFFFFF,
        n - finite,
        sums[_LARGEST],
        math.sqrt(sums[_SQUARES] / max(finite, 1)),
        tuple(sums[:SKETCH]),
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

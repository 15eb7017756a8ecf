"""Tables of resampling: for each output position along an axis its window of the input and the weights in
it, by every mode's filter; the table of the backward map is the transpose. Tables depend on sizes alone and
are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Plans, cdiv, launch, scalar_bits

TABLE_BLOCK = 64
SEARCH_STEPS = 32

NEAREST, NEAREST_EXACT, LINEAR, CUBIC, TRIANGLE, SMOOTH_CUBIC, LANCZOS = range(7)
"""How weights are made; the last three are filters that widen with the scale (antialiasing)."""
TAPS = {NEAREST: 1, NEAREST_EXACT: 1, LINEAR: 2, CUBIC: 4}
SELECTING = (NEAREST, NEAREST_EXACT)
SUPPORT = {TRIANGLE: 1.0, SMOOTH_CUBIC: 2.0, LANCZOS: 3.0}

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def cubic_weight(x, a):
    """Keys's cubic convolution with parameter a, at |x| < 2 (IEEE Trans. ASSP 29, 1981)."""
    x = tl.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return tl.where(x < 1, near, tl.where(x < 2, far, 0.0))


@triton.jit
def sinc(x):
    """sin(pi x) / (pi x)."""
    angle = x * 3.14159265358979323846
    return tl.where(x == 0, 1.0, tl.sin(angle) / tl.where(x == 0, 1.0, angle))


@triton.jit
def filter_weight(x, MODE: tl.constexpr):
    """The filter of an antialiasing mode: 4 a triangle, 5 a cubic with a = -1/2, 6 Lanczos of order 3."""
    if MODE == 4:
        weight = tl.maximum(1.0 - tl.abs(x), 0.0)
    elif MODE == 5:
        weight = cubic_weight(x, -0.5)
    else:
        weight = tl.where(tl.abs(x) < 3, sinc(x) * sinc(x / 3), 0.0)
    return weight


@triton.jit(do_not_specialize=["scale_bits"])
def window_kernel(
    first_out,
    count_out,
    weight_out,
    size,
    count,
    scale_bits: tl.int64,
    MODE: tl.constexpr,
    ALIGN: tl.constexpr,
    TAPS: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """First position, number of positions and weights of the windows of a block of output positions."""
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = o < count
    scale = double(scale_bits).to(COMPUTE)
    place = o.to(COMPUTE)
    if MODE <= 1:
        if MODE == 1:
            place += 0.5
        first = tl.minimum(tl.floor(place * scale).to(tl.int32), size - 1)
        tl.store(first_out + o, first, mask=inside)
        tl.store(count_out + o, tl.full((BLOCK,), 1, tl.int32), mask=inside)
    elif MODE <= 3:
        if ALIGN:
            real = place * scale
        else:
            real = (place + 0.5) * scale - 0.5
        if MODE == 2:
            real = tl.maximum(real, 0.0)
            first = tl.minimum(tl.floor(real).to(tl.int32), size - 1)
            part = tl.minimum(tl.maximum(real - first.to(COMPUTE), 0.0), 1.0)
            last = first == size - 1
            tl.store(weight_out + o * TAPS, tl.where(last, 1.0, 1.0 - part), mask=inside)
            tl.store(weight_out + o * TAPS + 1, tl.where(last, 0.0, part), mask=inside)
            number = tl.where(last, 1, 2)
        else:
            start = tl.floor(real).to(tl.int32) - 1
            part = real - tl.floor(real)
            first = tl.minimum(tl.maximum(start, 0), size - 1)
            final = tl.minimum(tl.maximum(start + 3, 0), size - 1)
            number = final - first + 1
            for k in tl.static_range(4):
                weight = tl.zeros((BLOCK,), COMPUTE)
                for j in tl.static_range(4):
                    at = tl.minimum(tl.maximum(start + j, 0), size - 1)
                    weight += tl.where(at - first == k, cubic_weight(part + 1 - j, -0.75), 0.0)
                tl.store(weight_out + o * TAPS + k, weight, mask=inside)
        tl.store(first_out + o, first, mask=inside)
        tl.store(count_out + o, number, mask=inside)
    else:
        reach: tl.constexpr = MODE - 3
        support = reach * tl.maximum(scale, 1.0)
        factor = tl.where(scale >= 1.0, 1.0 / scale, 1.0)
        centre = scale * (place + 0.5)
        first = tl.maximum((centre - support + 0.5).to(tl.int32), 0)
        stop = tl.minimum((centre + support + 0.5).to(tl.int32), size)
        total = tl.zeros((BLOCK,), COMPUTE)
        for k in range(TAPS):
            weight = filter_weight((k + first.to(COMPUTE) - centre + 0.5) * factor, MODE)
            total += tl.where(first + k < stop, weight, 0.0)
        for k in range(TAPS):
            weight = filter_weight((k + first.to(COMPUTE) - centre + 0.5) * factor, MODE)
            weight = tl.where((first + k < stop) & (total != 0), weight / total, 0.0)
            tl.store(weight_out + o * TAPS + k, weight.to(COMPUTE), mask=inside)
        tl.store(first_out + o, first, mask=inside)
        tl.store(count_out + o, stop - first, mask=inside)


@triton.jit
def transposed_window_kernel(
    first_out, count_out, first, number, size, count, STEPS: tl.constexpr, BLOCK: tl.constexpr
):
    """For input positions, the first output window that they are in and how many there are: windows
    begin and end in order, so both are found by bisection."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    low, high = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32) + count
    begin, end = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32) + count
    for _ in range(STEPS):
        middle = (low + high) // 2
        search = inside & (low < high)
        at = tl.load(first + middle, mask=search, other=0)
        past = search & (at + tl.load(number + middle, mask=search, other=0) <= i)
        high = tl.where(search & (past == 0), middle, high)
        low = tl.where(past, middle + 1, low)
        middle = (begin + end) // 2
        search = inside & (begin < end)
        past = search & (tl.load(first + middle, mask=search, other=0) <= i)
        end = tl.where(search & (past == 0), middle, end)
        begin = tl.where(past, middle + 1, begin)
    tl.store(first_out + i, low, mask=inside)
    tl.store(count_out + i, tl.maximum(begin - low, 0), mask=inside)


@triton.jit
def transposed_weight_kernel(
    weight_out, first_out, count_out, first, weight, size, columns, TAPS: tl.constexpr, BLOCK: tl.constexpr
):
    """The weights of transposed windows: row i, column k is that of i in output window first_out[i] + k."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    start = tl.load(first_out + i, mask=inside, other=0)
    number = tl.load(count_out + i, mask=inside, other=0)
    for k in range(columns):
        known = inside & (k < number)
        o = start + k
        tap = i - tl.load(first + o, mask=known, other=0)
        value = tl.load(weight + o * TAPS + tap, mask=known & (tap < TAPS), other=0)
        tl.store(weight_out + i * columns + k, value, mask=inside)


# ---- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A linear map along one axis from `size` to `count` positions: where each window begins, how many
    positions it has, and their weights [count, columns] (None: all one)."""

    size: int
    count: int
    first: torch.Tensor
    number: torch.Tensor
    weight: torch.Tensor | None
    columns: int
    selects: bool = False
    """Whether each window is one position, of weight one."""
    step: int = 0
    """Output positions that repeat each input position, if that is all and a power of two; else 0."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What a table depends on."""

    mode: int
    size: int
    count: int
    align: bool
    scale: float | None
    dtype: torch.dtype
    device: torch.device

    @property
    def is_repetition(self) -> bool:
        """Whether each input position is simply repeated a whole number of times."""
        whole = self.mode in SELECTING and self.size and self.count % self.size == 0
        return bool(whole) and self.factor() == self.size / self.count

    def factor(self) -> float:
        """Input positions per output position."""
        if self.align and self.mode not in SELECTING:
            return (self.size - 1) / (self.count - 1) if self.count > 1 else 0.0
        if self.mode == NEAREST and self.count in (self.size, 2 * self.size):
            return self.size / self.count
        if self.scale is not None and self.scale > 0:
            return 1.0 / self.scale
        return self.size / self.count


FORWARD: Plans[Windows] = Plans()
BACKWARD: Plans[Windows] = Plans()


def _numbers(count: int, device: torch.device) -> torch.Tensor:
    return torch.empty((count,), dtype=torch.int32, device=device)


def windows(axis: Axis) -> Windows:
    """The forward table."""
    found = FORWARD.get(axis)
    if found is not None:
        return found
    factor = axis.factor()
    if axis.mode in TAPS:
        taps = TAPS[axis.mode]
    else:
        taps = 2 * math.ceil(SUPPORT[axis.mode] * max(factor, 1.0)) + 1
    first, number = _numbers(axis.count, axis.device), _numbers(axis.count, axis.device)
    weight = None
    if taps > 1:
        weight = torch.empty((axis.count, taps), dtype=axis.dtype, device=axis.device)
    launch(
        window_kernel,
        cdiv(axis.count, TABLE_BLOCK),
        first,
        number,
        weight,
        axis.size,
        axis.count,
        scalar_bits(factor, True),
        MODE=axis.mode,
        ALIGN=axis.align,
        TAPS=taps,
        COMPUTE=TRITON_DTYPES[axis.dtype],
        BLOCK=TABLE_BLOCK,
    )
    repeats = axis.count // axis.size if axis.is_repetition else 0
    step = repeats if repeats & (repeats - 1) == 0 else 0
    table = Windows(axis.size, axis.count, first, number, weight, taps, axis.mode in SELECTING, step)
    return FORWARD.remember(axis, table)


def transposed_windows(axis: Axis) -> Windows:
    """The table of the backward map, from gradients of `count` positions to `size`."""
    found = BACKWARD.get(axis)
    if found is not None:
        return found
    given = windows(axis)
    first, number = _numbers(axis.size, axis.device), _numbers(axis.size, axis.device)
    programs = cdiv(axis.size, TABLE_BLOCK)
    launch(
        transposed_window_kernel,
        programs,
        first,
        number,
        given.first,
        given.number,
        axis.size,
        axis.count,
        STEPS=SEARCH_STEPS,
        BLOCK=TABLE_BLOCK,
    )
    columns = max(1, *number.tolist())
    weight = None
    if given.weight is not None:
        weight = torch.empty((axis.size, columns), dtype=axis.dtype, device=axis.device)
        launch(
            transposed_weight_kernel,
            programs,
            weight,
            first,
            number,
            given.first,
            given.weight,
            axis.size,
            columns,
            TAPS=given.columns,
            BLOCK=TABLE_BLOCK,
        )
    return BACKWARD.remember(axis, Windows(axis.count, axis.size, first, number, weight, columns))

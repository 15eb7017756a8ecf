"""upsample_* in every mode, and their backward operators, as linear maps along one axis after another. A
table gives for each output position its window of the input and the weights; the table of the backward
map is its transpose. Tables depend on sizes alone and are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launch import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..memory.copy import copy_
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor

TILES = Tiles(simt={"elements": 256}, simd={"elements": 512})
TABLE_BLOCK = 64
UNROLLED_TAPS = 8
SEARCH_STEPS = 32
PLANS: Plans[Plan] = Plans()

NEAREST, NEAREST_EXACT, LINEAR, CUBIC, TRIANGLE, SMOOTH_CUBIC, LANCZOS = range(7)
"""How weights are made; the last three are filters that widen with the scale (antialiasing)."""
TAPS = {NEAREST: 1, NEAREST_EXACT: 1, LINEAR: 2, CUBIC: 4}
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
    first_out, count_out, weight_out, size, count, scale_bits: tl.int64,
    MODE: tl.constexpr, ALIGN: tl.constexpr, TAPS: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """First position, number of positions and weights of the windows of a block of output positions."""
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = o < count
    scale = scale_bits.to(tl.int64).to(tl.float64, bitcast=True).to(COMPUTE)
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


@triton.jit
def axis_kernel(
    out, source, first, number, weight, size, count, after, columns,
    TAPS: tl.constexpr, COMPUTE: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_A: tl.constexpr,
):  # fmt: skip
    """out[b, o, a] = sum over k of weight[o, k] source[b, first[o] + k, a] for k below number[o]; the
    taps are unrolled if TAPS is not zero."""
    distinct(out, source)
    tiles_a = tl.cdiv(after, BLOCK_A)
    tiles_o = tl.cdiv(count, BLOCK_O)
    program = tl.program_id(0)
    a = (program % tiles_a) * BLOCK_A + tl.arange(0, BLOCK_A)
    rest = program // tiles_a
    o = (rest % tiles_o) * BLOCK_O + tl.arange(0, BLOCK_O)
    before = (rest // tiles_o).to(tl.int64)
    source += before * size * after
    out += before * count * after
    inside_o = o < count
    inside = inside_o[:, None] & (a < after)[None, :]
    start = tl.load(first + o, mask=inside_o, other=0)
    taps = tl.load(number + o, mask=inside_o, other=0)
    total = tl.zeros((BLOCK_O, BLOCK_A), COMPUTE)
    if TAPS > 0:
        for k in tl.static_range(TAPS):
            known = inside & (k < taps)[:, None]
            value = tl.load(source + ((start + k) * after)[:, None] + a[None, :], mask=known, other=0)
            value = value.to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * columns + k, mask=inside_o, other=0)[:, None].to(COMPUTE)
            total += value
    else:
        for k in range(columns):
            known = inside & (k < taps)[:, None]
            value = tl.load(source + ((start + k) * after)[:, None] + a[None, :], mask=known, other=0)
            value = value.to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * columns + k, mask=inside_o, other=0)[:, None].to(COMPUTE)
            total += value
    tl.store(out + (o * after)[:, None] + a[None, :], total.to(out.dtype.element_ty), mask=inside)


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

    def factor(self) -> float:
        """Input positions per output position."""
        if self.align and self.mode not in (NEAREST, NEAREST_EXACT):
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
        window_kernel, cdiv(axis.count, TABLE_BLOCK), first, number, weight, axis.size, axis.count,
        scalar_bits(factor, True), MODE=axis.mode, ALIGN=axis.align, TAPS=taps,
        COMPUTE=TRITON_DTYPES[axis.dtype], BLOCK=TABLE_BLOCK,
    )  # fmt: skip
    return FORWARD.remember(axis, Windows(axis.size, axis.count, first, number, weight, taps))


def transposed_windows(axis: Axis) -> Windows:
    """The table of the backward map, from gradients of `count` positions to `size`."""
    found = BACKWARD.get(axis)
    if found is not None:
        return found
    given = windows(axis)
    first, number = _numbers(axis.size, axis.device), _numbers(axis.size, axis.device)
    programs = cdiv(axis.size, TABLE_BLOCK)
    launch(
        transposed_window_kernel, programs, first, number, given.first, given.number, axis.size, axis.count,
        STEPS=SEARCH_STEPS, BLOCK=TABLE_BLOCK,
    )  # fmt: skip
    columns = max(1, *number.tolist())
    weight = None
    if given.weight is not None:
        weight = torch.empty((axis.size, columns), dtype=axis.dtype, device=axis.device)
        launch(
            transposed_weight_kernel, programs, weight, first, number, given.first, given.weight, axis.size,
            columns, TAPS=given.columns, BLOCK=TABLE_BLOCK,
        )  # fmt: skip
    return BACKWARD.remember(axis, Windows(axis.count, axis.size, first, number, weight, columns))


# ---- maps -----------------------------------------------------------------------------------------


def along(source: torch.Tensor, dim: int, table: Windows, dtype: torch.dtype, label: str) -> torch.Tensor:
    """The map of a table along one dimension of a contiguous tensor, as a tensor of `dtype`."""
    shape = (*source.shape[:dim], table.count, *source.shape[dim + 1 :])
    out = torch.empty(shape, dtype=dtype, device=source.device)
    after = math.prod(source.shape[dim + 1 :])
    before = math.prod(source.shape[:dim])
    key = (signature(source), dim, table.count, table.columns, dtype, table.weight is None)
    plan = PLANS.get(key)
    if plan is None:
        if table.size * after >= 1 << 31 or table.count * after >= 1 << 31:
            raise NotServed(label, f"images of {list(source.shape)} are not served")
        budget = TILES.on(source.device)["elements"]
        block_a = min(power_of_two(after), budget)
        block_o = min(power_of_two(table.count), budget // block_a)
        compute = compute_dtype(source.dtype) if source.dtype.is_floating_point else source.dtype
        plan = Plan(
            axis_kernel,
            before * cdiv(table.count, block_o) * cdiv(after, block_a),
            (table.size, table.count, after, table.columns),
            {
                "TAPS": table.columns if table.columns <= UNROLLED_TAPS else 0,
                "COMPUTE": TRITON_DTYPES[compute], "BLOCK_O": block_o, "BLOCK_A": block_a,
            },
            label=label,
        )  # fmt: skip
        PLANS.remember(key, plan)
    plan.launch(out, source, table.first, table.number, table.weight)
    return out


def _format(x: torch.Tensor) -> Any:
    wanted = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if wanted is not None and not x.is_contiguous() and x.is_contiguous(memory_format=wanted):
        return wanted
    return torch.contiguous_format


def _mapped(source: torch.Tensor, tables: Sequence[Windows], label: str) -> torch.Tensor:
    """All maps, the one that shrinks most first; what is in between is kept in the computing type."""
    result = source.contiguous()
    order = sorted(range(len(tables)), key=lambda k: tables[k].count / max(tables[k].size, 1))
    wide = compute_dtype(source.dtype) if source.dtype.is_floating_point else source.dtype
    for step, k in enumerate(order):
        last = step == len(order) - 1
        result = along(result, 2 + k, tables[k], source.dtype if last else wide, label)
    return result.contiguous(memory_format=_format(source))


@dataclass(frozen=True, slots=True)
class Mode:
    """One upsample operator: its name, how weights are made, its rank, and whether it has align_corners."""

    name: str
    weights: int
    rank: int

    @property
    def aligns(self) -> bool:
        """Whether the operator takes `align_corners`."""
        return self.weights not in (NEAREST, NEAREST_EXACT)

    def axes(
        self, x: torch.Tensor, input_size: Sequence[int], output_size: Sequence[int], rest: Sequence[Any]
    ) -> list[Axis]:
        """The axes' tables, after PyTorch's checks."""
        if len(output_size) != self.rank:
            raise ArgumentError(
                f"{self.name}: It is expected output_size equals to {self.rank}, but got size "
                f"{len(output_size)}"
            )
        if len(input_size) != self.rank + 2 or 0 in input_size[1:]:
            raise ArgumentError(
                f"{self.name}: Expected {self.rank + 2}D non-empty (but for the batch) input, but got "
                f"{list(input_size)}"
            )
        if any(n <= 0 for n in output_size):
            raise ArgumentError(
                f"{self.name}: Input and output sizes should be greater than 0, but got output size "
                f"{list(output_size)}"
            )
        served = ALL if not self.aligns else FLOATING
        if x.dtype not in served:
            raise NotServed(self.name, f"dtype {x.dtype} is not served")
        align = bool(rest[0]) if self.aligns else False
        scales = rest[1:] if self.aligns else rest
        dtype = compute_dtype(x.dtype) if x.dtype.is_floating_point else torch.float32
        return [
            Axis(self.weights, size, count, align, scale, dtype, x.device)
            for size, count, scale in zip(input_size[2:], output_size, scales, strict=True)
        ]

    def forward(self, self_: torch.Tensor, output_size: Sequence[int], *rest: Any) -> torch.Tensor:
        """The resampled images."""
        axes = self.axes(self_, self_.shape, output_size, self._filled(rest))
        return _mapped(self_, [windows(axis) for axis in axes], self.name)

    def backward(
        self, grad_output: torch.Tensor, output_size: Sequence[int], input_size: Sequence[int], *rest: Any
    ) -> torch.Tensor:
        """The gradient of the images."""
        axes = self.axes(grad_output, input_size, output_size, self._filled(rest))
        wanted = (*input_size[:2], *output_size)
        if tuple(grad_output.shape) != wanted:
            raise ArgumentError(
                f"{self.name}_backward: Expected grad_output to have the shape {list(wanted)} of the output, "
                f"but got {list(grad_output.shape)}"
            )
        tables = [transposed_windows(axis) for axis in axes]
        return _mapped(grad_output, tables, f"{self.name}_backward")

    def _filled(self, rest: Sequence[Any]) -> tuple[Any, ...]:
        return (*rest, *(None,) * (self.rank + self.aligns - len(rest)))


MODES = (
    *(Mode(f"upsample_nearest{rank}d", NEAREST, rank) for rank in (1, 2, 3)),
    *(Mode(f"_upsample_nearest_exact{rank}d", NEAREST_EXACT, rank) for rank in (1, 2, 3)),
    Mode("upsample_linear1d", LINEAR, 1),
    Mode("upsample_bilinear2d", LINEAR, 2),
    Mode("upsample_trilinear3d", LINEAR, 3),
    Mode("upsample_bicubic2d", CUBIC, 2),
    Mode("_upsample_bilinear2d_aa", TRIANGLE, 2),
    Mode("_upsample_bicubic2d_aa", SMOOTH_CUBIC, 2),
    Mode("_upsample_lanczos2d_aa", LANCZOS, 2),
)


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def _function(method: Any, names: Sequence[str]) -> Any:
    """A method of a mode as an operator's function, which takes keywords and `out`."""

    def resample(*arguments: Any, out: Any = None, **keywords: Any) -> torch.Tensor:
        rest = [keywords[name] for name in names[len(arguments) :] if name in keywords]
        return _deliver(method(*arguments, *rest), out)

    return resample


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {1: (2, 3, 7), 2: (1, 3, 5, 8), 3: (1, 2, 3, 4, 5)}
OUTPUTS = {1: ([11], [3], [7]), 2: ([9, 5], [10, 16], [2, 3]), 3: ([5, 3, 7],)}


def _rests(mode: Mode, dtype: torch.dtype) -> Iterable[tuple[Any, ...]]:
    nothing = (None,) * mode.rank
    if not mode.aligns:
        yield nothing
        return
    yield False, *nothing
    if dtype == torch.float32:
        yield True, *nothing


def _samples(mode: Mode) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for size in OUTPUTS[mode.rank][: None if dtype == torch.float32 else 1]:
            for rest in _rests(mode, dtype):
                yield Sample((tensor(SHAPES[mode.rank], dtype), size, *rest))

    return draw


def _gradients(mode: Mode) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape = SHAPES[mode.rank]
        for size in OUTPUTS[mode.rank][: None if dtype == torch.float32 else 1]:
            for rest in _rests(mode, dtype):
                yield Sample((tensor((*shape[:2], *size), dtype), size, shape, *rest))

    return draw


def _image(mode: Mode) -> Any:
    def draw(dtype: torch.dtype) -> Sample:
        rest = next(iter(_rests(mode, dtype)))
        return Sample((tensor((8, 32, 56, 56), dtype), [112, 112], *rest))

    return draw


def _register(mode: Mode) -> None:
    names = ["self", "output_size", *(["align_corners"] if mode.aligns else [])]
    scales = {1: ["scales"], 2: ["scales_h", "scales_w"], 3: ["scales_d", "scales_h", "scales_w"]}[mode.rank]
    backward_names = ["grad_output", "output_size", "input_size", *names[2:], *scales]
    overloads = [Overload(mode.name, _function(mode.forward, [*names, *scales]), _samples(mode))]
    overloads.append(
        Overload(f"{mode.name}_backward", _function(mode.backward, backward_names), _gradients(mode))
    )
    register(
        Operator(
            name=mode.name.lstrip("_"),
            domain="resampling",
            overloads=tuple(overloads),
            kernels=(axis_kernel, window_kernel, transposed_window_kernel, transposed_weight_kernel),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(Benchmark(mode.name, _image(mode)),) if mode.rank == 2 else (),
            tolerance=8.0,
        )
    )


for _mode in MODES:
    _register(_mode)

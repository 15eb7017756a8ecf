"""Fake quantisation: numbers rounded to the grid scale * (q - zero_point), quant_min <= q <= quant_max, per
tensor or per channel, with the mask of what was not clipped, and the gradients of learned grids.
Jacob et al., arXiv:1712.05877; Esser et al., arXiv:1902.08153 (the gradient of the scale)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError, NotServed
from ..launching import compute_dtype
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduce.sums import plus
from ..reduction import Reduction
from ..references import in_single
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor

Grid = tuple[Any, Any, Any]
"""Scale, and the least and largest grid index relative to the zero point: tensors or numbers."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def grid_index(x, scale):
    """PyTorch multiplies by the inverse of the scale, which with the scale is of single precision whatever x
    is: for scales such as 0.003, 0.02 and 0.7 a quotient would round to other numbers."""
    return libdevice.rint(x * (1.0 / scale.to(tl.float32)).to(x.dtype))


@triton.jit
def quantised(x, scale, low, high):
    index = grid_index(x, scale)
    kept = tl.where(index >= low, tl.where(index > high, high, index), low)
    return (kept.to(tl.float32) * scale.to(tl.float32)).to(x.dtype)


@triton.jit
def unclipped(x, scale, low, high):
    index = grid_index(x, scale)
    return (index >= low) & (index <= high)


@triton.jit
def quantised_if(x, scale, low, high, enabled):
    return tl.where(enabled != 0, quantised(x, scale, low, high), x)


@triton.jit
def unclipped_if(x, scale, low, high, enabled):
    return (enabled == 0) | unclipped(x, scale, low, high)


@triton.jit
def slope_of_input(gradient, x, scale, low, high):
    return tl.where(unclipped(x, scale, low, high), gradient, 0.0)


@triton.jit
def slope_of_scale(gradient, x, scale, low, high):
    inverse = 1.0 / scale
    index = libdevice.rint(x * inverse)
    inside = (index * scale - x) * inverse
    return gradient * tl.where(index < low, low, tl.where(index > high, high, inside))


@triton.jit
def slope_of_zero_point(gradient, x, scale, low, high):
    return tl.where(unclipped(x, scale, low, high), 0.0, -gradient * scale)


@triton.jit
def bound(zero_point, limit):
    return limit - zero_point


@triton.jit
def learned_bound(zero_point, limit, low, high):
    """The limit relative to a learned zero point, which is rounded and kept between low and high."""
    whole = libdevice.rint(zero_point)
    return limit - tl.where(whole < low, low, tl.where(whole > high, high, whole))


@triton.jit
def times(total, parameter, count):
    return total * parameter


QUANTISED, UNCLIPPED = Pointwise(quantised), Pointwise(unclipped, result=torch.bool)
QUANTISED_IF, UNCLIPPED_IF = Pointwise(quantised_if), Pointwise(unclipped_if, result=torch.bool)
OF_INPUT, OF_SCALE = Pointwise(slope_of_input), Pointwise(slope_of_scale)
OF_ZERO_POINT, BOUND, LEARNED_BOUND = (
    Pointwise(slope_of_zero_point),
    Pointwise(bound),
    Pointwise(learned_bound),
)
SCALED_SUM = Reduction("sum", plus, 0, finish=times)

# ---- forward, backward ----------------------------------------------------------------------------


def _check(self: torch.Tensor, quant_min: int, quant_max: int) -> None:
    if self.dtype not in FLOATING:
        raise NotServed("fake_quantize", f"dtype {self.dtype} is not served")
    if quant_min > quant_max:
        raise ArgumentError(
            f"`quant_min` should be less than or equal to `quant_max`; got {quant_min} and {quant_max}"
        )


def _channels(x: torch.Tensor, self: torch.Tensor, axis: int) -> torch.Tensor:
    """A vector laid along dimension `axis` of self."""
    if not 0 <= axis < max(self.ndim, 1):
        raise ArgumentError(f"`axis` must be between 0 and number of dimensions of input; got {axis}")
    if x.ndim != 1 or x.numel() != self.shape[axis]:
        raise ArgumentError(
            f"scale and zero-point need to be 1-D of size {self.shape[axis]}, got {list(x.shape)}"
        )
    return x.view([-1 if d == axis else 1 for d in range(self.ndim)])


def _both(self: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """(quantised, mask of what was not clipped)."""
    mask = torch.empty_like(self, dtype=torch.bool)
    return QUANTISED(self, *grid, out=torch.empty_like(self)), UNCLIPPED(self, *grid, out=mask)


def fake_quantize_per_tensor(
    self: torch.Tensor, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """On one grid given by numbers."""
    _check(self, quant_min, quant_max)
    if not quant_min <= zero_point <= quant_max:
        raise ArgumentError(f"`zero_point` must be between `quant_min` and `quant_max`; got {zero_point}")
    return _both(self, (scale, quant_min - zero_point, quant_max - zero_point))


def fake_quantize_per_channel(
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    axis: int,
    quant_min: int,
    quant_max: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """On a grid for every index of dimension `axis`."""
    _check(self, quant_min, quant_max)
    along = _channels(zero_point, self, axis)
    return _both(self, (_channels(scale, self, axis), BOUND(along, quant_min), BOUND(along, quant_max)))


def fake_quantize_tensor_qparams(
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    fake_quant_enabled: torch.Tensor,
    quant_min: int,
    quant_max: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """On one grid given by tensors of one element; unchanged unless enabled."""
    _check(self, quant_min, quant_max)
    zero = zero_point.reshape(())
    grid = (scale.reshape(()), BOUND(zero, quant_min), BOUND(zero, quant_max), fake_quant_enabled.reshape(()))
    mask = torch.empty_like(self, dtype=torch.bool)
    return QUANTISED_IF(self, *grid, out=torch.empty_like(self)), UNCLIPPED_IF(self, *grid, out=mask)


def _learned_grid(
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    axis: int | None,
    quant_min: int,
    quant_max: int,
) -> Grid:
    _check(self, quant_min, quant_max)
    if axis is None:
        step, zero = scale.reshape(()), zero_point.reshape(())
    else:
        step, zero = _channels(scale, self, axis), _channels(zero_point, self, axis)
    return (
        step,
        LEARNED_BOUND(zero, quant_min, quant_min, quant_max),
        LEARNED_BOUND(zero, quant_max, quant_min, quant_max),
    )


def _learned_slopes(
    grad: torch.Tensor,
    self: torch.Tensor,
    grid: Grid,
    axis: int | None,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    factor: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    compute = compute_dtype(self.dtype)
    others = None if axis is None else [d for d in range(self.ndim) if d != axis]
    of_input = OF_INPUT(grad, self, *grid, out=torch.empty_like(self))
    sums = []
    for slope, of in ((OF_SCALE, scale), (OF_ZERO_POINT, zero_point)):
        terms = slope(grad, self, *grid, out=torch.empty_like(self, dtype=compute))
        if others == []:
            terms, others = terms.unsqueeze(1), [1]
        total = SCALED_SUM(terms, others, False, compute=compute, result=of.dtype, parameter=factor)
        sums.append(total.reshape(of.shape))
    return of_input, sums[0], sums[1]


def learnable_per_tensor(
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> torch.Tensor:
    """On one grid, learned: scale and zero point are tensors of one element."""
    grid = _learned_grid(self, scale, zero_point, None, quant_min, quant_max)
    return QUANTISED(self, *grid, out=torch.empty_like(self))


def learnable_per_tensor_backward(
    grad: torch.Tensor,
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of input, scale and zero point, the last two times `grad_factor`."""
    grid = _learned_grid(self, scale, zero_point, None, quant_min, quant_max)
    return _learned_slopes(grad, self, grid, None, scale, zero_point, grad_factor)


def learnable_per_channel(
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    axis: int,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> torch.Tensor:
    """On a learned grid for every index of dimension `axis`."""
    grid = _learned_grid(self, scale, zero_point, axis, quant_min, quant_max)
    return QUANTISED(self, *grid, out=torch.empty_like(self))


def learnable_per_channel_backward(
    grad: torch.Tensor,
    self: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    axis: int,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of input, scales and zero points, the last two times `grad_factor`."""
    grid = _learned_grid(self, scale, zero_point, axis, quant_min, quant_max)
    return _learned_slopes(grad, self, grid, axis, scale, zero_point, grad_factor)


# ---- record ---------------------------------------------------------------------------------------


def _inputs(dtype: torch.dtype) -> Iterable[torch.Tensor]:
    yield tensor((5, 7), dtype)
    yield next(layouts(tensor((5, 6), dtype)))


def _per_tensor(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _inputs(dtype):
        yield Sample((x, 0.125, 3, -8, 7))
        yield Sample((x, 0.25, 0, 0, 255))


def _scales(count: int) -> torch.Tensor:
    return 2.0 ** torch.arange(-4, count - 4).clamp(max=-1)


def _per_channel(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _inputs(dtype):
        for axis in (0, 1):
            zeros = torch.arange(x.shape[axis], dtype=torch.int32) - 2
            yield Sample((x, _scales(x.shape[axis]), zeros, axis, -8, 7))


def _parameters(dtype: torch.dtype) -> Iterable[Sample]:
    for enabled in (0, 1):
        grid = (torch.tensor([0.125]), torch.tensor([3], dtype=torch.int32), torch.tensor([enabled]))
        yield Sample((tensor((5, 7), dtype), *grid, -8, 7))


def _learned(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), torch.tensor([0.125]), torch.tensor([2.6]), -8, 7))


def _learned_channels(dtype: torch.dtype) -> Iterable[Sample]:
    zeros = torch.arange(5) * 0.75 - 2
    yield Sample((tensor((5, 7), dtype), _scales(5), zeros, 0, -8, 7))


def _with_gradient(samples: Any) -> Any:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for sample in samples(dtype):
            yield Sample((tensor((5, 7), dtype, seed=3), *sample.arguments, 0.5))

    return draw


PREFIX = "_fake_quantize_learnable_per"
LEARNED = (
    ("tensor_affine", learnable_per_tensor, _learned),
    ("tensor_affine_backward", learnable_per_tensor_backward, _with_gradient(_learned)),
    ("channel_affine", learnable_per_channel, _learned_channels),
    ("channel_affine_backward", learnable_per_channel_backward, _with_gradient(_learned_channels)),
)

for _name, _overloads, _dtypes in (
    (
        "fake_quantize_per_tensor",
        (
            Overload(
                "fake_quantize_per_tensor_affine_cachemask",
                fake_quantize_per_tensor,
                _per_tensor,
                takes_out=False,
            ),
            Overload(
                "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
                fake_quantize_tensor_qparams,
                _parameters,
                takes_out=False,
            ),
        ),
        (torch.float32, torch.float64),
    ),
    (
        "fake_quantize_per_channel",
        (
            Overload(
                "fake_quantize_per_channel_affine_cachemask",
                fake_quantize_per_channel,
                _per_channel,
                takes_out=False,
                reference=in_single("fake_quantize_per_channel_affine_cachemask"),
            ),
        ),
        (torch.float32,),
    ),
    (
        "fake_quantize_learnable",
        tuple(
            Overload(
                f"{PREFIX}_{kind}", function, draw, takes_out=False, reference=in_single(f"{PREFIX}_{kind}")
            )
            for kind, function, draw in LEARNED
        ),
        (torch.float32,),
    ),
):
    register(
        Operator(
            name=_name,
            overloads=_overloads,
            kernels=(flat_kernel, tiled_kernel, *((SCALED_SUM.kernel,) if "learnable" in _name else ())),
            dtypes=_dtypes,
            tiles=TILES,
            benchmarks=(
                (
                    Benchmark(
                        "fake_quantize_per_tensor_affine_cachemask",
                        lambda dtype: Sample((tensor((4096, 1024), dtype), 0.125, 0, -128, 127)),
                    ),
                )
                if _name == "fake_quantize_per_tensor"
                else ()
            ),
            tolerance=4.0,
        )
    )

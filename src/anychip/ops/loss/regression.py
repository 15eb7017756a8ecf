"""mse_loss, smooth_l1_loss, huber_loss and binary_cross_entropy, with their backward operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..launching import cdiv, launch
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .pairs import MEAN, NONE, TILES, TOTAL, PairLoss, pair_cases, pair_gradients, pair_large, pair_sum_kernel

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def squared(x, y):
    return (x - y) * (x - y)


@triton.jit
def squared_slope(gradient, x, y, factor):
    return gradient * (x - y) * (2.0 * factor)


@triton.jit
def smooth(x, y, beta):
    distance = tl.abs(x - y)
    return tl.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)


@triton.jit
def smooth_slope(gradient, x, y, beta, factor):
    distance = x - y
    sign = (distance > 0).to(x.dtype) - (distance < 0).to(x.dtype)
    slope = tl.where(tl.abs(distance) < beta, distance / beta, sign)
    return gradient * factor * tl.where(distance == distance, slope, distance)


@triton.jit
def huber(x, y, delta):
    distance = tl.abs(x - y)
    return tl.where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))


@triton.jit
def huber_slope(gradient, x, y, delta, factor):
    distance = x - y
    slope = tl.where(distance <= -delta, -delta, tl.where(distance >= delta, delta, distance))
    return gradient * factor * slope


@triton.jit
def cross_entropy(x, y):
    """-(y log x + (1 - y) log(1 - x)), the logarithms not below -100."""
    hit, miss = tl.log(x), tl.log(1.0 - x)
    hit, miss = tl.where(hit < -100.0, -100.0, hit), tl.where(miss < -100.0, -100.0, miss)
    return (y - 1.0) * miss - y * hit


@triton.jit
def weighted_cross_entropy(x, y, weight):
    return weight * cross_entropy(x, y)


@triton.jit
def cross_entropy_slope(gradient, x, y, factor):
    spread = (1.0 - x) * x
    return gradient * factor * (x - y) / tl.where(spread < 1e-12, 1e-12, spread)


@triton.jit
def weighted_cross_entropy_slope(gradient, x, y, weight, factor):
    return weight * cross_entropy_slope(gradient, x, y, factor)


@triton.jit
def probability_kernel(source, n, BLOCK: tl.constexpr):
    """Stop with an assertion if an element is no probability."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    x = tl.load(source + start + lane, mask=lane < n - start, other=0.0)
    tl.device_assert((x >= 0.0) & (x <= 1.0), "all elements of input should be between 0 and 1")


MSE = PairLoss("mse_loss", squared, squared_slope, False)
SMOOTH = PairLoss("smooth_l1_loss", smooth, smooth_slope, True)
HUBER = PairLoss("huber_loss", huber, huber_slope, True)
ENTROPY = PairLoss("binary_cross_entropy", cross_entropy, cross_entropy_slope, False)
WEIGHTED = PairLoss("binary_cross_entropy", weighted_cross_entropy, weighted_cross_entropy_slope, False)

# ---- forward, backward ----------------------------------------------------------------------------


def mse_loss(self: torch.Tensor, target: torch.Tensor, reduction: int = MEAN, *, out: Any = None) -> Any:
    """(self - target) squared, reduced."""
    return MSE.forward(self, target, reduction, 0.0, out=out)


def mse_loss_backward(
    grad_output: torch.Tensor, self: torch.Tensor, target: torch.Tensor, reduction: int, *, out: Any = None
) -> torch.Tensor:
    """Gradient of self."""
    return MSE.backward(grad_output, self, target, reduction, 0.0, out=out)


def smooth_l1_loss(
    self: torch.Tensor, target: torch.Tensor, reduction: int = MEAN, beta: float = 1.0, *, out: Any = None
) -> torch.Tensor:
    """The distance of self and target, a parabola below `beta`, reduced."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss does not support negative values for beta; got {beta}")
    return SMOOTH.forward(self, target, reduction, beta, out=out)


def smooth_l1_loss_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    reduction: int,
    beta: float,
    *,
    out: Any = None,
) -> torch.Tensor:
    """Gradient of self."""
    return SMOOTH.backward(grad_output, self, target, reduction, beta, out=out)


def huber_loss(
    self: torch.Tensor, target: torch.Tensor, reduction: int = MEAN, delta: float = 1.0, *, out: Any = None
) -> torch.Tensor:
    """A parabola up to the distance `delta`, a line of that slope beyond, reduced."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss does not support non-positive values for delta; got {delta}")
    return HUBER.forward(self, target, reduction, delta, out=out)


def huber_loss_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    reduction: int,
    delta: float,
    *,
    out: Any = None,
) -> torch.Tensor:
    """Gradient of self."""
    return HUBER.backward(grad_output, self, target, reduction, delta, out=out)


def binary_cross_entropy(
    self: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    reduction: int = MEAN,
    *,
    out: Any = None,
) -> torch.Tensor:
    """-(target log self + (1 - target) log(1 - self)) times `weight`, reduced; self lies in [0, 1]."""
    if self.shape != target.shape:
        raise ArgumentError(
            f"binary_cross_entropy: target of shape {list(target.shape)} differs from {list(self.shape)}"
        )
    block = TILES.on(self)["block"]
    count = self.numel()
    launch(
        probability_kernel,
        cdiv(count, block),
        self.contiguous(),
        count,
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    loss = ENTROPY if weight is None else WEIGHTED
    return loss.forward(self, target, reduction, 0.0, weight, out=out)


def binary_cross_entropy_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    reduction: int = MEAN,
    *,
    out: Any = None,
) -> torch.Tensor:
    """Gradient of self."""
    loss = ENTROPY if weight is None else WEIGHTED
    return loss.backward(grad_output, self, target, reduction, 0.0, weight, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _values(*rest: Any) -> Samples:
    return lambda dtype: (Sample((*case, *rest)) for case in pair_cases(dtype))


def _slopes(*rest: Any) -> Samples:
    return lambda dtype: (Sample((*case, *rest)) for case in pair_gradients(dtype))


def _probabilities(dtype: torch.dtype) -> Iterable[Sample]:
    for x, y, reduction in pair_cases(dtype, 0.02, 0.98):
        yield Sample((x, y, None, reduction))
    x, y = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype), torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=dtype)
    yield Sample((x, y, tensor((4,), dtype, 0.5, 2.0), NONE))
    yield Sample((x, y, tensor((4,), dtype, 0.5, 2.0), TOTAL))


def _probability_slopes(dtype: torch.dtype) -> Iterable[Sample]:
    for gradient, x, y, reduction in pair_gradients(dtype, 0.1, 0.9):
        yield Sample((gradient, x, y, None, reduction))
        yield Sample((gradient, x, y, tensor(x.shape[-1:], dtype, 0.5, 2.0), reduction))


def _record(
    name: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    samples: Samples,
    slopes: Samples,
    large: Callable[[torch.dtype], Sample],
    kernels: tuple[Any, ...] = (),
) -> None:
    register(
        Operator(
            name=name,
            overloads=(
                Overload(name, forward, samples),
                Overload(f"{name}_backward", backward, slopes),
            ),
            kernels=(pair_sum_kernel, flat_kernel, tiled_kernel, *kernels),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(Benchmark(name, large),),
            tolerance=4.0,  # a sum of thousands, in the order of its shares
        )
    )


_record("mse_loss", mse_loss, mse_loss_backward, _values(), _slopes(), pair_large)
_record("smooth_l1_loss", smooth_l1_loss, smooth_l1_loss_backward, _values(0.75), _slopes(0.75), pair_large)
_record("huber_loss", huber_loss, huber_loss_backward, _values(0.75), _slopes(0.75), pair_large)
_record(
    "binary_cross_entropy",
    binary_cross_entropy,
    binary_cross_entropy_backward,
    _probabilities,
    _probability_slopes,
    lambda dtype: pair_large(dtype, low=0.02, high=0.98),
    (probability_kernel,),
)

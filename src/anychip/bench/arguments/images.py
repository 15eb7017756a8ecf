"""Arguments of pooling, resampling and convolution.

Flows in: a size. Flows out: arguments by overload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...ops.registry import Sample
from .size import Size, Table, call, normal, uniform

aten: Any = torch.ops.aten


def _like(x: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return normal(*x.shape, seed=seed)


# ---- pooling --------------------------------------------------------------------------------------


def _input(s: Size, rank: int) -> torch.Tensor:
    return s.image() if rank == 2 else s.volume()


def _pool(rank: int) -> tuple[list[int], list[int], list[int]]:
    """Windows of 3 by steps of 2 with a margin of 1."""
    return [3] * rank, [2] * rank, [1] * rank


def _average_backward(s: Size, rank: int) -> Sample:
    x = _input(s, rank)
    y = getattr(aten, f"avg_pool{rank}d")(x, *_pool(rank))
    return call(_like(y), x, *_pool(rank), False, True, None)


def _maximum_backward(s: Size, rank: int) -> Sample:
    x, windows = _input(s, rank), (*_pool(rank), [1] * rank, False)
    y, places = getattr(aten, f"max_pool{rank}d_with_indices")(x, *windows)
    return call(_like(y), x, *windows, places)


def _adaptive_sides(s: Size, rank: int) -> list[int]:
    return [8] * rank


def _adaptive_out(s: Size, rank: int) -> Sample:
    x = _input(s, rank)
    return call(x, _adaptive_sides(s, rank), out=torch.empty(*x.shape[:2], *_adaptive_sides(s, rank)))


def _adaptive_gradient(s: Size, rank: int, into: bool = False) -> Sample:
    x = _input(s, rank)
    gradient = normal(*x.shape[:2], *_adaptive_sides(s, rank), seed=1)
    return call(gradient, x, grad_input=torch.empty_like(x)) if into else call(gradient, x)


def _adaptive_maximum_backward(s: Size, rank: int) -> Sample:
    x = _input(s, rank)
    y, places = getattr(aten, f"adaptive_max_pool{rank}d")(x, _adaptive_sides(s, rank))
    return call(_like(y), x, places)


def _fractional(s: Size, rank: int) -> tuple[torch.Tensor, list[int], list[int], torch.Tensor]:
    x = _input(s, rank)
    sides = [size // 2 for size in x.shape[2:]]
    return x, [2] * rank, sides, uniform(0.0, 1.0, *x.shape[:2], rank)


def _fractional_backward(s: Size, rank: int) -> Sample:
    x, windows, sides, where = _fractional(s, rank)
    y, places = getattr(aten, f"fractional_max_pool{rank}d")(x, windows, sides, where)
    return call(_like(y), x, windows, sides, places)


def _unpool(s: Size, rank: int) -> Sample:
    x = _input(s, rank)
    y, places = getattr(aten, f"max_pool{rank}d_with_indices")(x, [2] * rank, [2] * rank)
    sides = list(x.shape[2:])
    return call(y, places, sides) if rank == 2 else call(y, places, sides, [2] * 3, [0] * 3)


POOLING: Table = {
    "avg_pool2d": lambda s: call(s.image(), *_pool(2)),
    "avg_pool3d": lambda s: call(s.volume(), *_pool(3)),
    "avg_pool2d_backward": lambda s: _average_backward(s, 2),
    "avg_pool3d_backward": lambda s: _average_backward(s, 3),
    "max_pool2d_with_indices": lambda s: call(s.image(), *_pool(2)),
    "max_pool3d_with_indices": lambda s: call(s.volume(), *_pool(3)),
    "max_pool2d_with_indices_backward": lambda s: _maximum_backward(s, 2),
    "max_pool3d_with_indices_backward": lambda s: _maximum_backward(s, 3),
    "_adaptive_avg_pool2d": lambda s: call(s.image(), _adaptive_sides(s, 2)),
    "_adaptive_avg_pool3d": lambda s: call(s.volume(), _adaptive_sides(s, 3)),
    "adaptive_avg_pool2d.out": lambda s: _adaptive_out(s, 2),
    "adaptive_avg_pool3d.out": lambda s: _adaptive_out(s, 3),
    "_adaptive_avg_pool2d_backward": lambda s: _adaptive_gradient(s, 2),
    "_adaptive_avg_pool3d_backward": lambda s: _adaptive_gradient(s, 3),
    "adaptive_avg_pool3d_backward.grad_input": lambda s: _adaptive_gradient(s, 3, into=True),
    "adaptive_max_pool2d": lambda s: call(s.image(), _adaptive_sides(s, 2)),
    "adaptive_max_pool3d": lambda s: call(s.volume(), _adaptive_sides(s, 3)),
    "adaptive_max_pool2d_backward": lambda s: _adaptive_maximum_backward(s, 2),
    "adaptive_max_pool3d_backward": lambda s: _adaptive_maximum_backward(s, 3),
    "fractional_max_pool2d": lambda s: call(*_fractional(s, 2)),
    "fractional_max_pool3d": lambda s: call(*_fractional(s, 3)),
    "fractional_max_pool2d_backward": lambda s: _fractional_backward(s, 2),
    "fractional_max_pool3d_backward": lambda s: _fractional_backward(s, 3),
    "max_unpool2d": lambda s: _unpool(s, 2),
    "max_unpool3d": lambda s: _unpool(s, 3),
}


# ---- resampling -----------------------------------------------------------------------------------


def _grid(s: Size, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = s.image(cost=4) if rank == 2 else s.volume(cost=4)
    return x, uniform(-1.0, 1.0, x.shape[0], *x.shape[2:], rank, seed=2)


def _grid_backward(s: Size, rank: int) -> Sample:
    x, grid = _grid(s, rank)
    return call(_like(x), x, grid, 0, 0, False, [True, True])


def _small_image(s: Size, rank: int) -> torch.Tensor:
    """What is made twice as large in each dimension."""
    if rank == 1:
        return normal(4, s.rows // 8, s.columns)
    return s.image(scale=2) if rank == 2 else s.volume(scale=2)


def _upsampled(rank: int, corners: bool, backward: bool) -> Callable[[Size], Sample]:
    """Twice as large in each dimension, or the gradient of that."""

    def make(s: Size) -> Sample:
        x = _small_image(s, rank)
        sides = [2 * side for side in x.shape[2:]]
        how = [False] if corners else []
        if backward:
            gradient = normal(*x.shape[:2], *sides, seed=1)
            return call(gradient, sides, list(x.shape), *how, *[None] * rank)
        return call(x, sides, *how, *[None] * rank)

    return make


def _smaller(backward: bool) -> Callable[[Size], Sample]:
    """Half as large with a filter against aliasing, or the gradient of that."""

    def make(s: Size) -> Sample:
        x = s.image(cost=2)
        sides = [side // 2 for side in x.shape[2:]]
        if backward:
            gradient = normal(*x.shape[:2], *sides, seed=1)
            return call(gradient, sides, list(x.shape), False, None, None)
        return call(x, sides, False, None, None)

    return make


def _resampling() -> dict[str, Callable[[Size], Sample]]:
    found: dict[str, Callable[[Size], Sample]] = {}
    for backward, ending in ((False, ""), (True, "_backward")):
        for rank in (1, 2, 3):
            for name in ("upsample_nearest", "_upsample_nearest_exact"):
                found[f"{name}{rank}d{ending}"] = _upsampled(rank, False, backward)
        linear = (("linear1d", 1), ("bilinear2d", 2), ("trilinear3d", 3), ("bicubic2d", 2))
        for name, rank in linear:
            found[f"upsample_{name}{ending}"] = _upsampled(rank, True, backward)
        for name in ("bilinear", "bicubic", "lanczos"):
            found[f"_upsample_{name}2d_aa{ending}"] = _smaller(backward)
    return found


RESAMPLING: Table = {
    "grid_sampler_2d": lambda s: call(*_grid(s, 2), 0, 0, False),
    "grid_sampler_3d": lambda s: call(*_grid(s, 3), 0, 0, False),
    "grid_sampler_2d_backward": lambda s: _grid_backward(s, 2),
    "grid_sampler_3d_backward": lambda s: _grid_backward(s, 3),
    **_resampling(),
}


# ---- convolution ----------------------------------------------------------------------------------


def _convolved(s: Size, rank: int = 2, transposed: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """An input and weights, 3 along each side."""
    channels, side = (8, 16) if s.name == "small" else (32, 32)
    side = side if rank == 2 else side // 4
    x = normal(2, channels, *[side] * rank)
    return x, normal(channels, channels, *[3] * rank, seed=1) * 0.1


def _steps(rank: int = 2) -> list[object]:
    return [[1] * rank, [1] * rank, [1] * rank, False, [0] * rank, 1]


def _slow(s: Size, rank: int = 2, *more: object) -> Sample:
    x, weight = _convolved(s, rank)
    return call(x, weight, [3] * rank, None, [1] * rank, [1] * rank, *more)


def _slow_backward(s: Size, into: bool) -> Sample:
    x, weight = _convolved(s)
    given = (_like(x), x, weight, [3, 3], [1, 1], [1, 1])
    if not into:
        return call(*given, [True, True, True])
    results = {"grad_input": x, "grad_weight": weight, "grad_bias": weight[:, 0, 0, 0]}
    return call(*given, **{name: torch.empty_like(like) for name, like in results.items()})


def _columns(s: Size) -> torch.Tensor:
    x = s.image(cost=8)
    return aten.im2col(x, [3, 3], [1, 1], [1, 1], [1, 1])


CONVOLUTION: Table = {
    "convolution": lambda s: call(*_convolved(s), None, *_steps()),
    "_convolution": lambda s: call(*_convolved(s), None, *_steps(), False, False, False, False),
    "convolution_backward": lambda s: call(
        _like(_convolved(s)[0]), *_convolved(s), None, *_steps(), [True, True, False]
    ),
    "_slow_conv2d_forward": _slow,
    "_slow_conv2d_backward.output_mask": lambda s: _slow_backward(s, False),
    "_slow_conv2d_backward.grad_input": lambda s: _slow_backward(s, True),
    "slow_conv3d_forward": lambda s: _slow(s, 3),
    "slow_conv_dilated2d": lambda s: _slow(s, 2, [1, 1]),
    "slow_conv_dilated3d": lambda s: _slow(s, 3, [1, 1, 1]),
    "slow_conv_transpose2d": lambda s: _slow(s, 2, [0, 0], [1, 1]),
    "slow_conv_transpose3d": lambda s: _slow(s, 3, [0, 0, 0], [1, 1, 1]),
    "im2col": lambda s: call(s.image(cost=8), [3, 3], [1, 1], [1, 1], [1, 1]),
    "col2im": lambda s: call(_columns(s), list(s.image(cost=8).shape[2:]), [3, 3], [1, 1], [1, 1], [1, 1]),
    "unfold_backward": lambda s: call(
        s.normal().reshape(s.rows, s.columns // 4, 4), [s.rows, s.columns], 1, 4, 4
    ),
}

TABLE: Table = {**POOLING, **RESAMPLING, **CONVOLUTION}

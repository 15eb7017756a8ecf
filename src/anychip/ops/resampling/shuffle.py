"""pixel_shuffle, pixel_unshuffle and channel_shuffle: channels and pixels change places. Each is one copy
through a view."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..memory.copy import COPY
from ..pointwise import TILES
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, COPYING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor

# ---- operators ------------------------------------------------------------------------------------


def _copied(name: str, view: torch.Tensor, shape: tuple[int, ...], out: torch.Tensor | None) -> torch.Tensor:
    """The elements of `view` in its order, as a tensor of `shape`."""
    if view.dtype not in ALL:
        raise NotServed(name, f"dtype {view.dtype} is not served")
    if out is None:
        result = torch.empty(shape, dtype=view.dtype, device=view.device)
        COPY(view, out=result.view(view.shape))
        return result
    if tuple(out.shape) != shape:
        out.resize_(shape)
    return COPY(_copied(name, view, shape, None), out=out)


def pixel_shuffle(self: torch.Tensor, upscale_factor: int, *, out: Any = None) -> torch.Tensor:
    """[..., c r r, h, w] to [..., c, h r, w r]."""
    r = upscale_factor
    if self.ndim < 3:
        raise ArgumentError(f"pixel_shuffle expects input to have at least 3 dimensions, but got {self.ndim}")
    if r <= 0:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, h, w = self.shape
    if channels % (r * r):
        raise ArgumentError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = math.prod(lead)
    view = self.reshape(n, channels // (r * r), r, r, h, w).permute(0, 1, 4, 2, 5, 3)
    return _copied("pixel_shuffle", view, (*lead, channels // (r * r), h * r, w * r), out)


def pixel_unshuffle(self: torch.Tensor, downscale_factor: int, *, out: Any = None) -> torch.Tensor:
    """[..., c, h r, w r] to [..., c r r, h, w]."""
    r = downscale_factor
    if self.ndim < 3:
        raise ArgumentError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got {self.ndim}"
        )
    if r <= 0:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, h, w = self.shape
    if h % r or w % r:
        raise ArgumentError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but {h} and {w} "
            f"are not divisible by {r}"
        )
    n = math.prod(lead)
    view = self.reshape(n, channels, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4)
    return _copied("pixel_unshuffle", view, (*lead, channels * r * r, h // r, w // r), out)


def channel_shuffle(self: torch.Tensor, groups: int, *, out: Any = None) -> torch.Tensor:
    """[n, g c, ...] to [n, c g, ...]: one channel of every group in turn."""
    if self.ndim < 3:
        raise ArgumentError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(self.shape)}"
        )
    channels = self.shape[1]
    if groups <= 0:
        raise ArgumentError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if channels % groups:
        raise ArgumentError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    n, pixels = self.shape[0], math.prod(self.shape[2:])
    view = self.reshape(n, groups, channels // groups, pixels).transpose(1, 2)
    return _copied("channel_shuffle", view, tuple(self.shape), out)


# ---- record ---------------------------------------------------------------------------------------


def _draw(shapes: Iterable[tuple[int, ...]], number: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for shape in shapes:
            yield Sample((tensor(shape, dtype), number))
        first = next(iter(shapes))
        yield Sample((tensor((*first[:-2], first[-1], first[-2]), dtype).transpose(-1, -2), number))

    return draw


_IMAGES = ((2, 8, 3, 5), (4, 2, 2), (0, 4, 3, 3))
_WIDE = ((2, 3, 4, 6), (1, 4, 2))
_CHANNELS = ((2, 6, 3, 4), (1, 4, 5))


def _register(
    name: str, function: Callable[..., torch.Tensor], samples: Samples, shape: tuple[int, ...]
) -> None:
    also = (Overload("native_channel_shuffle", function, samples),) if name == "channel_shuffle" else ()
    register(
        Operator(
            name=name,
            overloads=(Overload(name, function, samples), *also),
            kernels=(flat_kernel, tiled_kernel),
            labels=(COPYING,),
            dtypes=ALL,
            tiles=TILES,
            benchmarks=(Benchmark(name, lambda dtype: Sample((tensor(shape, dtype), 2))),),
        )
    )


_register("pixel_shuffle", pixel_shuffle, _draw(_IMAGES, 2), (8, 64, 56, 56))
_register("pixel_unshuffle", pixel_unshuffle, _draw(_WIDE, 2), (8, 16, 112, 112))
_register("channel_shuffle", channel_shuffle, _draw(_CHANNELS, 2), (8, 64, 56, 56))

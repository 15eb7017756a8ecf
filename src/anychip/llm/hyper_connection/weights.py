"""The weights of a hyper-connection from a projection of its streams: for reading, for writing, and for
mixing (manifold-constrained, arXiv:2512.24880). Flows in: projections [tokens, n (n + 2)]. Flows out:
weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .sinkhorn import sinkhorn_reference, sinkhorn_steps
from .streams import sigmoid

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def weights_kernel(
    pre,
    post,
    mixing,
    mixes,
    scale,
    base,
    tokens,
    streams,
    eps,
    iterations,
    TOKENS: tl.constexpr,
    STREAMS: tl.constexpr,
):
    """Of some tokens: sigmoid + eps, twice the sigmoid, and Sinkhorn's matrix, of three parts of a row."""
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)
    lane = tl.arange(0, STREAMS)
    inside = (token < tokens)[:, None] & (lane < streams)[None, :]
    row = token * (streams * (streams + 2))
    at = row[:, None] + lane[None, :]
    shift = tl.load(base + lane, mask=lane < streams, other=0.0).to(tl.float32)[None, :]
    x = tl.load(mixes + at, mask=inside, other=0.0).to(tl.float32)
    result = sigmoid(x * tl.load(scale).to(tl.float32) + shift) + eps
    to = token[:, None] * streams + lane[None, :]
    tl.store(pre + to, result.to(pre.dtype.element_ty), mask=inside)
    shift = tl.load(base + streams + lane, mask=lane < streams, other=0.0).to(tl.float32)[None, :]
    x = tl.load(mixes + at + streams, mask=inside, other=0.0).to(tl.float32)
    result = 2.0 * sigmoid(x * tl.load(scale + 1).to(tl.float32) + shift)
    tl.store(post + to, result.to(post.dtype.element_ty), mask=inside)
    place = lane[:, None] * streams + lane[None, :]
    small = (lane < streams)[:, None] & (lane < streams)[None, :]
    whole = (token < tokens)[:, None, None] & small[None, :, :]
    shift = tl.load(base + 2 * streams + place, mask=small, other=0.0).to(tl.float32)[None, :, :]
    at_square = (row + 2 * streams)[:, None, None] + place[None, :, :]
    x = tl.load(mixes + at_square, mask=whole, other=0.0).to(tl.float32)
    x = tl.where(whole, x * tl.load(scale + 2).to(tl.float32) + shift, -1e30)
    value = sinkhorn_steps(x, whole, None, at_square, 0, eps, iterations)
    to_square = (token * streams * streams)[:, None, None] + place[None, :, :]
    tl.store(mixing + to_square, value.to(mixing.dtype.element_ty), mask=whole)


# ---- functions ------------------------------------------------------------------------------------


def hyper_connection_weights(
    mixes: torch.Tensor,
    scale: torch.Tensor,
    base: torch.Tensor,
    streams: int,
    iterations: int = 10,
    eps: float = 1e-6,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weights of one layer's hyper-connection from a projection of its streams.

    mixes [tokens, n (n + 2)] for n `streams`: of its parts, times scale [3] each plus base [n (n + 2)], gives
    sigmoid + eps [tokens, n] for reading, twice the sigmoid [tokens, n] for writing, and `sinkhorn`'s matrix
    [tokens, n, n], all float32. Raises ArgumentError.
    """
    count = streams * (streams + 2)
    if mixes.ndim != 2 or mixes.shape[1] != count or base.shape != (count,) or scale.shape != (3,):
        raise ArgumentError(
            f"hyper_connection_weights: mixes {tuple(mixes.shape)}, base {tuple(base.shape)} and scale "
            f"{tuple(scale.shape)} must be [tokens, {count}], [{count}] and [3] for {streams} streams"
        )
    tokens, single = mixes.shape[0], {"dtype": torch.float32, "device": mixes.device}
    pre, post = (torch.empty((tokens, streams), **single) for _ in range(2))
    mixing = torch.empty((tokens, streams, streams), **single)
    launch(
        weights_kernel,
        cdiv(tokens, 16),
        pre,
        post,
        mixing,
        mixes.contiguous(),
        scale.contiguous(),
        base.contiguous(),
        tokens,
        streams,
        eps,
        iterations,
        TOKENS=16,
        STREAMS=power_of_two(streams),
    )
    return pre, post, mixing


# ---- records --------------------------------------------------------------------------------------


def _weights_reference(
    mixes: torch.Tensor,
    scale: torch.Tensor,
    base: torch.Tensor,
    streams: int,
    iterations: int = 10,
    eps: float = 1e-6,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    parts = [streams, streams, streams * streams]
    x, y, z = (
        m * scale[i] + b
        for i, (m, b) in enumerate(zip(mixes.split(parts, -1), base.split(parts), strict=True))
    )
    square = z.unflatten(-1, (streams, streams))
    return x.sigmoid() + eps, 2 * y.sigmoid(), sinkhorn_reference(square, iterations, eps)


def _weights_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for tokens, streams in ((5, 3), (20, 4)):
        count = streams * (streams + 2)
        given = tensor((tokens, count), dtype), tensor((3,), torch.float32, 0.1, 1)
        yield Sample((*given, tensor((count,), torch.float32), streams, 3))


register(
    Fused(
        "hyper_connection_weights",
        "hyper_connection",
        hyper_connection_weights,
        _weights_reference,
        _weights_samples,
        (weights_kernel,),
    )
)

"""Hyper-connections (Zhu et al., arXiv:2409.19606): a layer reads a weighted sum of several residual streams,
and its result is spread over them while they are mixed, with gradients. Flows in: streams [tokens, n, width],
weights, a layer's result. Flows out: the layer's input, the new streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 512}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def read_streams_kernel(
    out, x, weights, scale, base, streams, width, eps, SQUASHED: tl.constexpr, BLOCK: tl.constexpr
):
    """out = sum over streams of weight x, for one block of one token; with SQUASHED the weights are
    sigmoid(weight scale + base) + eps."""
    token = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    total = tl.zeros((BLOCK,), tl.float32)
    for one in range(streams):
        share = tl.load(weights + token * streams + one).to(tl.float32)
        if SQUASHED:
            share = sigmoid(share * tl.load(scale).to(tl.float32) + tl.load(base + one).to(tl.float32)) + eps
        source = x + (token * streams + one) * width
        total += share * tl.load(source + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + token * width + lane, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def read_streams_backward_kernel(dx, dweights, dout, x, weights, streams, width, BLOCK: tl.constexpr):
    """One stream of one token: dx = weight dout, dweight = dout . x."""
    row = tl.program_id(0).to(tl.int64)
    token = row // streams
    share = tl.load(weights + row).to(tl.float32)
    inner = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, width, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < width
        d = tl.load(dout + token * width + lane, mask=mask, other=0.0).to(tl.float32)
        inner += d * tl.load(x + row * width + lane, mask=mask, other=0.0).to(tl.float32)
        tl.store(dx + row * width + lane, (d * share).to(dx.dtype.element_ty), mask=mask)
    tl.store(dweights + row, tl.sum(inner, 0).to(dweights.dtype.element_ty))


@triton.jit
def write_streams_kernel(out, layer, x, post, mixing, streams, width, BLOCK: tl.constexpr):
    """One block of one new stream j of one token: post_j layer + sum over i of mixing_ij x_i."""
    row = tl.program_id(1).to(tl.int64)
    token, stream = row // streams, row % streams
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    output = tl.load(layer + token * width + lane, mask=mask, other=0.0).to(tl.float32)
    total = tl.load(post + row).to(tl.float32) * output
    for one in range(streams):
        share = tl.load(mixing + (token * streams + one) * streams + stream).to(tl.float32)
        source = x + (token * streams + one) * width
        total += share * tl.load(source + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * width + lane, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def write_streams_backward_kernel(dx, dlayer, dout, post, mixing, streams, width, BLOCK: tl.constexpr):
    """One block of one token: dx_i = sum over j of mixing_ij dout_j, dlayer = sum over j of post_j dout_j."""
    token = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    for one in range(streams + 1):
        total = tl.zeros((BLOCK,), tl.float32)
        for stream in range(streams):
            at = token * streams + stream
            d = tl.load(dout + at * width + lane, mask=mask, other=0.0).to(tl.float32)
            if one < streams:
                share = tl.load(mixing + (token * streams + one) * streams + stream).to(tl.float32)
            else:
                share = tl.load(post + at).to(tl.float32)
            total += share * d
        if one < streams:
            to = dx + (token * streams + one) * width + lane
            tl.store(to, total.to(dx.dtype.element_ty), mask=mask)
        else:
            tl.store(dlayer + token * width + lane, total.to(dlayer.dtype.element_ty), mask=mask)


@triton.jit
def write_weights_backward_kernel(dpost, dmixing, dout, layer, x, streams, width, BLOCK: tl.constexpr):
    """One pair (i, j) of one token: dmixing_ij = x_i . dout_j; past the streams, dpost_j = layer . dout_j."""
    token = tl.program_id(0).to(tl.int64)
    one, stream = tl.program_id(1), tl.program_id(2)
    inner = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, width, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < width
        d = tl.load(dout + (token * streams + stream) * width + lane, mask=mask, other=0.0).to(tl.float32)
        if one < streams:
            other = tl.load(x + (token * streams + one) * width + lane, mask=mask, other=0.0).to(tl.float32)
        else:
            other = tl.load(layer + token * width + lane, mask=mask, other=0.0).to(tl.float32)
        inner += d * other
    if one < streams:
        at = (token * streams + one) * streams + stream
        tl.store(dmixing + at, tl.sum(inner, 0).to(dmixing.dtype.element_ty))
    else:
        tl.store(dpost + token * streams + stream, tl.sum(inner, 0).to(dpost.dtype.element_ty))


# ---- forward, backward ----------------------------------------------------------------------------


def _block(width: int, device: torch.device) -> int:
    return min(TILES.on(device)["block"], power_of_two(width))


class ReadStreams(torch.autograd.Function):
    """x [tokens, n, width], weights [tokens, n]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum of the streams, [tokens, width]."""
        x, weights = x.contiguous(), weights.contiguous()
        ctx.save_for_backward(x, weights)
        return _read(x, weights, None, None, 0.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of streams and weights."""
        x, weights = ctx.saved_tensors
        dx, dweights = torch.empty_like(x), torch.empty_like(weights)
        streams, width = x.shape[1:]
        launch(
            read_streams_backward_kernel,
            weights.numel(),
            dx,
            dweights,
            grad_outputs[0].contiguous(),
            x,
            weights,
            streams,
            width,
            BLOCK=_block(width, x.device),
        )
        return dx, dweights


def _read(
    x: torch.Tensor, weights: torch.Tensor, scale: torch.Tensor | None, base: torch.Tensor | None, eps: float
) -> torch.Tensor:
    tokens, streams, width = x.shape
    out = torch.empty((tokens, width), dtype=x.dtype, device=x.device)
    block = _block(width, x.device)
    launch(
        read_streams_kernel,
        (cdiv(width, block), tokens),
        out,
        x,
        weights,
        scale,
        base,
        streams,
        width,
        eps,
        SQUASHED=scale is not None,
        BLOCK=block,
    )
    return out


class WriteStreams(torch.autograd.Function):
    """layer [tokens, width], x [tokens, n, width], post [tokens, n], mixing [tokens, n, n]."""

    @staticmethod
    def forward(
        ctx: Any, layer: torch.Tensor, x: torch.Tensor, post: torch.Tensor, mixing: torch.Tensor
    ) -> torch.Tensor:
        """mixing x + post layer: the new streams [tokens, n, width]."""
        layer, x, post, mixing = (y.contiguous() for y in (layer, x, post, mixing))
        tokens, streams, width = x.shape
        out = torch.empty_like(x)
        block = _block(width, x.device)
        launch(
            write_streams_kernel,
            (cdiv(width, block), tokens * streams),
            out,
            layer,
            x,
            post,
            mixing,
            streams,
            width,
            BLOCK=block,
        )
        ctx.save_for_backward(layer, x, post, mixing)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of layer, streams, post and mixing."""
        layer, x, post, mixing = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        tokens, streams, width = x.shape
        dlayer, dx = torch.empty_like(layer), torch.empty_like(x)
        dpost, dmixing = torch.empty_like(post), torch.empty_like(mixing)
        block = _block(width, x.device)
        launch(
            write_streams_backward_kernel,
            (cdiv(width, block), tokens),
            dx,
            dlayer,
            gradient,
            post,
            mixing,
            streams,
            width,
            BLOCK=block,
        )
        launch(
            write_weights_backward_kernel,
            (tokens, streams + 1, streams),
            dpost,
            dmixing,
            gradient,
            layer,
            x,
            streams,
            width,
            BLOCK=block,
        )
        return dlayer, dx, dpost, dmixing


def hyper_connection_read(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What a layer is given: the sum over streams of weights x. x [tokens, n, width], weights [tokens, n];
    gives [tokens, width]. Differentiable in both. Raises ArgumentError."""
    if x.ndim != 3 or weights.shape != x.shape[:2]:
        raise ArgumentError(
            f"hyper_connection_read: x {tuple(x.shape)} and weights {tuple(weights.shape)} must be [tokens, "
            f"n, width] and [tokens, n]"
        )
    return ReadStreams.apply(x, weights)


def hyper_connection_head(
    x: torch.Tensor, mixes: torch.Tensor, scale: torch.Tensor, base: torch.Tensor, eps: float = 1e-6
) -> torch.Tensor:
    """The streams' sum at a model's end, with weights sigmoid(mixes scale + base) + eps. x [tokens, n,
    width], mixes [tokens, n], scale [1], base [n]; gives [tokens, width]. Raises ArgumentError."""
    if x.ndim != 3 or mixes.shape != x.shape[:2] or base.shape != x.shape[1:2] or scale.numel() != 1:
        raise ArgumentError(
            f"hyper_connection_head: x {tuple(x.shape)}, mixes {tuple(mixes.shape)}, base "
            f"{tuple(base.shape)} must be [tokens, n, width], [tokens, n] and [n], with one scale"
        )
    return _read(x.contiguous(), mixes.contiguous(), scale.contiguous(), base.contiguous(), eps)


def hyper_connection_write(
    layer: torch.Tensor, x: torch.Tensor, post: torch.Tensor, mixing: torch.Tensor
) -> torch.Tensor:
    """The new streams: stream j is post_j layer + sum over i of mixing_ij x_i.

    layer [tokens, width], x [tokens, n, width], post [tokens, n], mixing [tokens, n, n]. Differentiable in
    all. Raises ArgumentError.
    """
    fits = x.ndim == 3 and layer.shape == (x.shape[0], x.shape[2]) and post.shape == x.shape[:2]
    if not fits or mixing.shape != (*x.shape[:2], x.shape[1]):
        raise ArgumentError(
            f"hyper_connection_write: layer {tuple(layer.shape)}, x {tuple(x.shape)}, post "
            f"{tuple(post.shape)} and mixing {tuple(mixing.shape)} do not belong together"
        )
    return WriteStreams.apply(layer, x, post, mixing)


# ---- records --------------------------------------------------------------------------------------


def _write_reference(
    layer: torch.Tensor, x: torch.Tensor, post: torch.Tensor, mixing: torch.Tensor
) -> torch.Tensor:
    return post[..., None] * layer[:, None] + torch.einsum("tij,tiw->tjw", mixing, x)


def _streams(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    yield tensor((5, 3, 7), dtype), tensor((5, 3), dtype)
    yield tensor((300, 4, 6), dtype).transpose(0, 2), tensor((6, 4), dtype)


def _read_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x, weights in _streams(dtype):
        yield Sample((x, weights))


def _head_samples(dtype: torch.dtype) -> Iterable[Sample]:
    # Two streams that are equal, with opposite mixes: the weights' sum is 1, and little moves it.
    alike = torch.tensor([[[4.0, -1.0, 2.0]] * 2], dtype=dtype), torch.tensor([[0.5, -0.5]], dtype=dtype)
    small, large = _streams(dtype)
    for (x, mixes), base in (
        (small, tensor((small[0].shape[1],), torch.float32)),
        (alike, torch.zeros(2)),
        (large, tensor((large[0].shape[1],), torch.float32)),
    ):
        yield Sample((x, mixes, torch.tensor([0.5]), base))


def _write_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x, post in _streams(dtype):
        tokens, streams, width = x.shape
        yield Sample(
            (tensor((tokens, width), dtype), x, post, tensor((tokens, streams, streams), dtype, 0, 1))
        )


register(
    Fused(
        "hyper_connection_read",
        "hyper_connection",
        hyper_connection_read,
        lambda x, weights: torch.einsum("tnw,tn->tw", x, weights),
        _read_samples,
        (read_streams_kernel, read_streams_backward_kernel),
        differentiable=True,
    )
)
register(
    Fused(
        "hyper_connection_head",
        "hyper_connection",
        hyper_connection_head,
        lambda x, m, scale, base, eps=1e-6: torch.einsum("tnw,tn->tw", x, (m * scale + base).sigmoid() + eps),
        _head_samples,
        (read_streams_kernel,),
    )
)
register(
    Fused(
        "hyper_connection_write",
        "hyper_connection",
        hyper_connection_write,
        _write_reference,
        _write_samples,
        (write_streams_kernel, write_streams_backward_kernel, write_weights_backward_kernel),
        differentiable=True,
    )
)

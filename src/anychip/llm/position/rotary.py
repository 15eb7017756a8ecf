"""Rotary position embedding (Su et al., 2021) of queries and keys, with gradients: halves or neighbours as
pairs, of the whole width or of its first part, and pairs in sections that follow positions of their own
(Qwen2-VL, 2024). Flows in: queries, keys, tables of cosines and sines, positions. Flows out: both rotated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"elements": 2048}, simd={"elements": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def rotate(
    out,
    x,
    token,
    heads,
    width,
    half,
    cosine,
    sine,
    INTERLEAVED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_REST: tl.constexpr,
):
    """All heads of one token: pairs (a, b) become (a cos - b sin, b cos + a sin), the rest is copied."""
    pair = tl.arange(0, BLOCK_P)
    first = pair
    second = pair + half
    if INTERLEAVED:
        first = 2 * pair
        second = 2 * pair + 1
    for start in range(0, heads, BLOCK_H):
        head = start + tl.arange(0, BLOCK_H)
        at = (token * heads + head)[:, None] * width
        inside = (head < heads)[:, None]
        mask = inside & (pair < half)[None, :]
        a = tl.load(x + at + first[None, :], mask=mask, other=0.0).to(tl.float32)
        b = tl.load(x + at + second[None, :], mask=mask, other=0.0).to(tl.float32)
        turned = a * cosine[None, :] - b * sine[None, :]
        tl.store(out + at + first[None, :], turned.to(out.dtype.element_ty), mask=mask)
        turned = b * cosine[None, :] + a * sine[None, :]
        tl.store(out + at + second[None, :], turned.to(out.dtype.element_ty), mask=mask)
        if BLOCK_REST > 0:
            lane = 2 * half + tl.arange(0, BLOCK_REST)
            rest = inside & (lane < width)[None, :]
            tl.store(out + at + lane[None, :], tl.load(x + at + lane[None, :], mask=rest), mask=rest)


@triton.jit
def rotary_kernel(
    query_out,
    key_out,
    query,
    key,
    cosines,
    sines,
    positions,
    tokens,
    length,
    query_heads,
    key_heads,
    width,
    half,
    direction,
    section_1,
    section_2,
    INTERLEAVED: tl.constexpr,
    SECTIONS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_REST: tl.constexpr,
):
    """One token: its row of the tables, then queries and keys. Pairs from `section_1` and from `section_2`
    on follow the second and the third row of `positions` if SECTIONS. `direction` is 1, or -1 backwards."""
    token = tl.program_id(0).to(tl.int64)
    pair = tl.arange(0, BLOCK_P)
    inside = pair < half
    if SECTIONS:
        row = tl.where(pair >= section_2, 2, tl.where(pair >= section_1, 1, 0)).to(tl.int64)
        position = tl.load(positions + row * tokens + token, mask=inside, other=0).to(tl.int64)
        at = position * half + pair
    else:
        position = token % length
        if positions is not None:
            position = tl.load(positions + token).to(tl.int64)
        at = position * half + pair
    cosine = tl.load(cosines + at, mask=inside, other=1.0).to(tl.float32)
    sine = tl.load(sines + at, mask=inside, other=0.0).to(tl.float32) * direction
    rotate(
        query_out,
        query,
        token,
        query_heads,
        width,
        half,
        cosine,
        sine,
        INTERLEAVED,
        BLOCK_H,
        BLOCK_P,
        BLOCK_REST,
    )
    if key is not None:
        rotate(
            key_out,
            key,
            token,
            key_heads,
            width,
            half,
            cosine,
            sine,
            INTERLEAVED,
            BLOCK_H,
            BLOCK_P,
            BLOCK_REST,
        )


# ---- forward, backward ----------------------------------------------------------------------------


def _turn(
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor | None,
    sections: tuple[int, ...] | None,
    interleaved: bool,
    direction: float,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    query = query.contiguous()
    key = None if key is None else key.contiguous()
    query_out, key_out = torch.empty_like(query), None if key is None else torch.empty_like(key)
    heads, width = query.shape[-2:]
    tokens = query.shape[:-2].numel()
    half = cos.shape[-1]
    block = power_of_two(half)
    first, second = (0, 0) if sections is None else (sections[0], sections[0] + sections[1])
    launch(
        rotary_kernel,
        tokens if width else 0,
        query_out,
        key_out,
        query,
        key,
        cos,
        sin,
        positions,
        tokens,
        query.shape[-3],
        heads,
        0 if key is None else key.shape[-2],
        width,
        half,
        direction,
        first,
        second,
        INTERLEAVED=interleaved,
        SECTIONS=sections is not None,
        BLOCK_H=max(1, min(power_of_two(heads), TILES.on(query)["elements"] // block)),
        BLOCK_P=block,
        BLOCK_REST=power_of_two(width - 2 * half) if width > 2 * half else 0,
    )
    return query_out, key_out


class Rotary(torch.autograd.Function):
    """The gradient of a rotation is turned back by the same angles."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor | None,
        cos: torch.Tensor,
        sin: torch.Tensor,
        positions: torch.Tensor | None,
        sections: tuple[int, ...] | None,
        interleaved: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Query and key (or None) turned by the angles of their positions."""
        cos, sin = cos.contiguous(), sin.contiguous()
        positions = None if positions is None else positions.contiguous()
        ctx.save_for_backward(cos, sin, positions)
        ctx.layout = sections, interleaved
        ctx.set_materialize_grads(True)
        return _turn(query, key, cos, sin, positions, sections, interleaved, 1.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of query and key, turned back."""
        dquery, dkey = grad_outputs
        cos, sin, positions = ctx.saved_tensors
        sections, interleaved = ctx.layout
        dquery, dkey = _turn(dquery, dkey, cos, sin, positions, sections, interleaved, -1.0)
        return dquery, dkey, None, None, None, None, None


def _check(
    name: str, query: torch.Tensor, key: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor
) -> None:
    width = query.shape[-1]
    if cos.ndim != 2 or cos.shape != sin.shape or 2 * cos.shape[-1] > width:
        raise ArgumentError(
            f"{name}: tables must both be [positions, pairs] with at most {width // 2} pairs, not "
            f"{tuple(cos.shape)} and {tuple(sin.shape)}"
        )
    if query.ndim < 3 or (key is not None and (key.shape[:-2] != query.shape[:-2] or key.shape[-1] != width)):
        raise ArgumentError(
            f"{name}: expected queries and keys [..., tokens, heads, width] of the same tokens and width, "
            f"got {tuple(query.shape)} and {None if key is None else tuple(key.shape)}"
        )


def rotary_embedding(
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor | None = None,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Turn pair i of each head at position p by the angle whose cosine is cos[p, i] and sine sin[p, i].

    query [..., tokens, heads, width], key likewise with heads of its own (or None); tables [positions,
    pairs], of any floating dtype. With 2 pairs < width the rest of the width stays. Pairs are (i, i + pairs),
    or (2i, 2i + 1) if `interleaved`. `positions` [..., tokens] of integers inside the tables; None counts
    tokens from 0. Differentiable in query and key, not in the tables. Raises ArgumentError.
    """
    _check("rotary_embedding", query, key, cos, sin)
    if positions is not None and positions.shape != query.shape[:-2]:
        raise ArgumentError(
            f"rotary_embedding: positions of shape {tuple(positions.shape)} do not fit tokens "
            f"{tuple(query.shape[:-2])}; give one position for each token"
        )
    return Rotary.apply(query, key, cos, sin, positions, None, interleaved)


def multi_section_rotary_embedding(
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    sections: Sequence[int],
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rotary embedding whose pairs follow three positions: time, height and width of a picture's patch.

    As `rotary_embedding`, with `positions` [3, ..., tokens] and `sections` the numbers of pairs (in order)
    that follow each row of it. Differentiable in query and key. Raises ArgumentError.
    """
    _check("multi_section_rotary_embedding", query, key, cos, sin)
    if len(sections) != 3 or sum(sections) != cos.shape[-1] or min(sections) < 0:
        raise ArgumentError(
            f"multi_section_rotary_embedding: sections {tuple(sections)} must be three and sum to "
            f"{cos.shape[-1]} pairs"
        )
    if positions.shape != (3, *query.shape[:-2]):
        raise ArgumentError(
            f"multi_section_rotary_embedding: positions of shape {tuple(positions.shape)} do not fit tokens "
            f"{tuple(query.shape[:-2])}; give three positions for each token, rows outermost"
        )
    return Rotary.apply(query, key, cos, sin, positions, tuple(sections), interleaved)


# ---- records --------------------------------------------------------------------------------------


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, interleaved: bool) -> torch.Tensor:
    """x [..., heads, width] turned by cos and sin [..., pairs], in plain PyTorch: neighbours (`interleaved`)
    or halves of the first 2 pairs elements are pairs, the rest stays."""
    pairs = cos.shape[-1]
    part, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    if interleaved:
        a, b = part[..., ::2], part[..., 1::2]
        turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = part.chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return torch.cat([turned, rest], -1)


def _reference(
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor | None = None,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    cos, sin = cos.detach(), sin.detach()
    if positions is None:
        positions = torch.arange(query.shape[-3])
    cos, sin = cos[positions], sin[positions]
    turned = None if key is None else rotated(key, cos, sin, interleaved)
    return rotated(query, cos, sin, interleaved), turned


def _sections_reference(
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    sections: Sequence[int],
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    row = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))
    at = positions[row].movedim(0, -1)
    pair = torch.arange(cos.shape[-1])
    cos, sin = cos.detach()[at, pair], sin.detach()[at, pair]
    turned = None if key is None else rotated(key, cos, sin, interleaved)
    return rotated(query, cos, sin, interleaved), turned


def tables(positions: int, pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [positions, pairs] of samples."""
    angle = torch.arange(positions)[:, None] * 100.0 ** (-torch.arange(pairs) / max(pairs, 1))
    return angle.cos(), angle.sin()


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    q, k = tensor((2, 5, 3, 8), dtype), tensor((2, 5, 1, 8), dtype, seed=1)
    yield Sample((q, k, *tables(6, 4)))
    at = torch.tensor([[0, 3, 9, 1, 1], [7, 6, 5, 4, 2]])
    yield Sample((q, None, *tables(10, 4), at, True))
    q, k = (tensor((h, 7, 20), dtype, seed=h).transpose(0, 1) for h in (6, 2))
    for interleaved in (False, True):
        yield Sample((q, k, *tables(9, 6), torch.arange(7).flip(0).int(), interleaved))
    yield Sample((tensor((2, 17, 33, 64), dtype), tensor((2, 17, 4, 64), dtype, seed=1), *tables(17, 32)))


def _sections_samples(dtype: torch.dtype) -> Iterable[Sample]:
    q, k = tensor((2, 5, 3, 18), dtype), tensor((2, 5, 2, 18), dtype, seed=1)
    at = torch.arange(30).reshape(5, 2, 3).permute(2, 1, 0) % 11
    yield Sample((q, k, *tables(11, 8), at, (2, 3, 3)))
    yield Sample((q, k, *tables(11, 9), at, [4, 0, 5], True))


register(
    Fused(
        "rotary_embedding",
        "position",
        rotary_embedding,
        _reference,
        _samples,
        (rotary_kernel,),
        differentiable=True,
    )
)
register(
    Fused(
        "multi_section_rotary_embedding",
        "position",
        multi_section_rotary_embedding,
        _sections_reference,
        _sections_samples,
        (rotary_kernel,),
        differentiable=True,
    )
)

"""The kernels of norms of heads with rotary embedding, and with a write into the cache."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def normed_heads(
    out,
    to,
    x,
    row,
    heads,
    width,
    start,
    half,
    rest,
    weight,
    cosine,
    sine,
    eps,
    NORM: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_REST: tl.constexpr,
):
    """All heads of one token, normalised with NORM and rotated from element `start` on, to row `to`; elements
    from `rest` on do not turn."""
    pair = tl.arange(0, BLOCK_P)
    first = start + pair
    second = first + half
    if INTERLEAVED:
        first = start + 2 * pair
        second = first + 1
    turning = pair < half
    for begin in range(0, heads, BLOCK_H):
        head = begin + tl.arange(0, BLOCK_H)
        inside = (head < heads)[:, None]
        at = (row * heads + head)[:, None] * width
        mask = inside & turning[None, :]
        a = tl.load(x + at + first[None, :], mask=mask, other=0.0).to(tl.float32)
        b = tl.load(x + at + second[None, :], mask=mask, other=0.0).to(tl.float32)
        rstd = tl.full((BLOCK_H,), 1.0, tl.float32)
        if NORM:
            squares = tl.sum(a * a + b * b, 1)
            if BLOCK_REST > 0:
                lane = tl.arange(0, BLOCK_REST)
                still = inside & (lane < width - 2 * half)[None, :]
                c = tl.load(x + at + (rest + lane)[None, :], mask=still, other=0.0).to(tl.float32)
                squares += tl.sum(c * c, 1)
            rstd = tl.rsqrt(squares / width + eps)
            if weight is not None:
                a *= tl.load(weight + first, mask=turning, other=0.0).to(tl.float32)[None, :]
                b *= tl.load(weight + second, mask=turning, other=0.0).to(tl.float32)[None, :]
            a *= rstd[:, None]
            b *= rstd[:, None]
        to_at = out + (to * heads + head)[:, None] * width
        turned = a * cosine[None, :] - b * sine[None, :]
        tl.store(to_at + first[None, :], turned.to(out.dtype.element_ty), mask=mask)
        turned = b * cosine[None, :] + a * sine[None, :]
        tl.store(to_at + second[None, :], turned.to(out.dtype.element_ty), mask=mask)
        if BLOCK_REST > 0:
            lane = tl.arange(0, BLOCK_REST)
            still = inside & (lane < width - 2 * half)[None, :]
            c = tl.load(x + at + (rest + lane)[None, :], mask=still, other=0.0).to(tl.float32)
            if NORM:
                c *= rstd[:, None]
                if weight is not None:
                    factor = tl.load(weight + rest + lane, mask=lane < width - 2 * half, other=0.0)
                    c *= factor.to(tl.float32)[None, :]
            tl.store(to_at + (rest + lane)[None, :], c.to(out.dtype.element_ty), mask=still)


@triton.jit
def norm_rotary_kernel(
    query_out,
    key_out,
    query,
    key,
    query_weight,
    key_weight,
    cosines,
    sines,
    positions,
    slots,
    capacity,
    query_heads,
    key_heads,
    width,
    start,
    half,
    rest,
    eps,
    QUERY_NORM: tl.constexpr,
    KEY_NORM: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_REST: tl.constexpr,
):
    """One token: its queries, normalised, and its keys, which go to their slot where there are slots."""
    token = tl.program_id(0).to(tl.int64)
    pair = tl.arange(0, BLOCK_P)
    position = tl.load(positions + token).to(tl.int64)
    cosine = tl.load(cosines + position * half + pair, mask=pair < half, other=1.0).to(tl.float32)
    sine = tl.load(sines + position * half + pair, mask=pair < half, other=0.0).to(tl.float32)
    normed_heads(
        query_out,
        token,
        query,
        token,
        query_heads,
        width,
        start,
        half,
        rest,
        query_weight,
        cosine,
        sine,
        eps,
        QUERY_NORM,
        INTERLEAVED,
        BLOCK_H,
        BLOCK_P,
        BLOCK_REST,
    )
    slot = token
    if slots is not None:
        slot = tl.load(slots + token).to(tl.int64)
    if (slot >= 0) & (slot < capacity):
        normed_heads(
            key_out,
            slot,
            key,
            token,
            key_heads,
            width,
            start,
            half,
            rest,
            key_weight,
            cosine,
            sine,
            eps,
            KEY_NORM,
            INTERLEAVED,
            BLOCK_H,
            BLOCK_P,
            BLOCK_REST,
        )

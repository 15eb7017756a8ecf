"""What every scan over chunks of tokens does: the decays within a chunk, tiles of rows, the state's tile.
Flows in: pointers, positions. Flows out: tiles in float32."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def fading_of(g, c):
    """Of log-decays of a chunk what is left of: the state before it at each token, each token's share at its
    end, the state at its end, and one token's share at another (lower triangle and diagonal).

    Log-decays are added in two parts, multiples of 1/1024 without rounding and what is left over, so that
    differences of large sums are as exact as their terms. A log-decay below -104, -inf too, leaves nothing in
    float32. It is counted instead of added, so that sums of what comes after it stay finite and exact."""
    ends = g < -104.0
    g = tl.where(ends, 0.0, g)
    coarse = tl.floor(g * 1024.0) * 0.0009765625
    fine = g - coarse
    so_far = tl.cumsum(coarse, 0)
    beside = tl.cumsum(fine, 0)
    ended = tl.cumsum(ends.to(tl.int32), 0)
    whole = tl.sum(coarse, 0)
    whole_beside = tl.sum(fine, 0)
    whole_ended = tl.sum(ends.to(tl.int32), 0)
    seen = (c[:, None] >= c[None, :]) & (ended[:, None] == ended[None, :])
    between = (so_far[:, None] - so_far[None, :]) + (beside[:, None] - beside[None, :])
    fading = tl.where(seen, tl.exp(between), 0.0)
    before = tl.where(ended == 0, tl.exp(so_far + beside), 0.0)
    after = tl.where(ended == whole_ended, tl.exp((whole - so_far) + (whole_beside - beside)), 0.0)
    return before, after, tl.where(whole_ended == 0, tl.exp(whole + whole_beside), 0.0), fading


@triton.jit
def across(pairs, c):
    """For each token of a chunk the sum of pairs [later, earlier] that its decay is between: later ones from
    it on, earlier ones before it. Nothing is taken off again, as the difference of two running sums would."""
    from_it_on = tl.cumsum(pairs, 0, reverse=True)
    return tl.sum(tl.where(c[:, None] > c[None, :], from_it_on, 0.0), 1)


@triton.jit
def load_tile(base, row, lane, width, in_c):
    """Rows of `width` elements as float32; zeros outside."""
    mask = in_c[:, None] & (lane < width)[None, :]
    return tl.load(base + row[:, None] * width + lane[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_tile(base, row, lane, width, in_c, value):
    """The opposite of `load_tile`, rounding to the type in memory."""
    mask = in_c[:, None] & (lane < width)[None, :]
    tl.store(base + row[:, None] * width + lane[None, :], tl.cast(value, base.dtype.element_ty), mask=mask)


@triton.jit
def first_state(initial, at, inside, factor, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr):
    """The state before the first token: `initial` times a factor, or zeros."""
    state = tl.zeros((BLOCK_D, BLOCK_V), tl.float32)
    if initial is not None:
        state = tl.load(initial + at, mask=inside, other=0.0).to(tl.float32) * factor
    return state


@triton.jit
def dot(a, b):
    """a b in float32."""
    return tl.dot(a, b, input_precision="ieee")

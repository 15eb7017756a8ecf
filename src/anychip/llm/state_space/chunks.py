"""What every scan over chunks of tokens does: the decays within a chunk, tiles of rows, the state's tile.
Flows in: pointers, positions. Flows out: tiles in float32."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def fading_of(g, c):
    """Of log-decays of a chunk: their running sum, their whole sum, and exp(sum between two tokens), lower
    triangle and diagonal."""
    so_far = tl.cumsum(g, 0)
    causal = c[:, None] >= c[None, :]
    fading = tl.where(causal, tl.exp(tl.where(causal, so_far[:, None] - so_far[None, :], 0.0)), 0.0)
    return so_far, tl.sum(g, 0), fading


@triton.jit
def load_tile(base, row, lane, width, in_c):
    """Rows of `width` elements as float32; zeros outside."""
    mask = in_c[:, None] & (lane < width)[None, :]
    return tl.load(base + row[:, None] * width + lane[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_tile(base, row, lane, width, in_c, value):
    """The opposite of `load_tile`, rounding to the type in memory."""
    mask = in_c[:, None] & (lane < width)[None, :]
    tl.store(base + row[:, None] * width + lane[None, :], value.to(base.dtype.element_ty), mask=mask)


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

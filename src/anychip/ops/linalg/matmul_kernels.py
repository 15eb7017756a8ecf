"""The kernel of matrix products, with scales and an addend, and its order of tiles."""

from __future__ import annotations

import triton
import triton.language as tl

from ..kernels.numbers import double


@triton.jit(do_not_specialize=["alpha", "beta"])
def matmul_kernel(
    out,
    a,
    b,
    addend,
    M,
    N,
    K,
    out_strides,
    a_strides,
    b_strides,
    addend_strides,
    alpha: tl.int64,
    beta: tl.int64,
    SCALED: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    FLOAT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
):
    """out[batch] = alpha a @ b + beta addend; `alpha` and `beta` are the bits of doubles, or integers. A
    program makes one BLOCK_M x BLOCK_N tile; tiles are walked in groups of GROUP rows so that operands stay
    in cache.

    out [batch, M, N]; a [batch, M, K]; b [batch, K, N]; addend [batch, M, N] or None, all of any strides.
    """
    out_batch, out_m, out_n = out_strides
    a_batch, a_m, a_k = a_strides
    b_batch, b_k, b_n = b_strides
    add_batch, add_m, add_n = addend_strides
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    program = tl.program_id(0)
    batch = (program // (tiles_m * tiles_n)).to(tl.int64)
    tile = program % (tiles_m * tiles_n)
    group = tile // (GROUP * tiles_n)
    height = tl.minimum(tiles_m - group * GROUP, GROUP)
    within = tile % (GROUP * tiles_n)
    first_m = (group * GROUP + within % height).to(tl.int64) * BLOCK_M
    first_n = (within // height).to(tl.int64) * BLOCK_N
    lane_m = tl.arange(0, BLOCK_M)
    lane_n = tl.arange(0, BLOCK_N)
    lane_k = tl.arange(0, BLOCK_K)
    inside_m = lane_m < M - first_m
    inside_n = lane_n < N - first_n
    at_a = (
        a
        + batch * a_batch
        + first_m * a_m
        + (lane_m.to(tl.int64) * a_m)[:, None]
        + (lane_k.to(tl.int64) * a_k)[None, :]
    )
    at_b = (
        b
        + batch * b_batch
        + first_n * b_n
        + (lane_k.to(tl.int64) * b_k)[:, None]
        + (lane_n.to(tl.int64) * b_n)[None, :]
    )
    total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
    for k in range(0, K, BLOCK_K):
        inside_k = lane_k < K - k
        left = tl.load(at_a, mask=inside_m[:, None] & inside_k[None, :], other=0)
        right = tl.load(at_b, mask=inside_k[:, None] & inside_n[None, :], other=0)
        if FLOAT:
            total = tl.dot(left, right, total, input_precision="ieee", out_dtype=ACCUMULATE)
        else:
            product = left.to(ACCUMULATE)[:, :, None] * right.to(ACCUMULATE)[None, :, :]
            total += tl.sum(product, 1)
        at_a += BLOCK_K * a_k
        at_b += BLOCK_K * b_k
    mask = inside_m[:, None] & inside_n[None, :]
    if SCALED:
        if FLOAT:
            total *= double(alpha).to(ACCUMULATE)
        else:
            total *= alpha.to(ACCUMULATE)
    if addend is not None:
        at = batch * add_batch + first_m * add_m + first_n * add_n
        at = at + (lane_m.to(tl.int64) * add_m)[:, None] + (lane_n.to(tl.int64) * add_n)[None, :]
        extra = tl.load(addend + at, mask=mask, other=0).to(ACCUMULATE)
        if SCALED:
            if FLOAT:
                extra *= double(beta).to(ACCUMULATE)
            else:
                extra *= beta.to(ACCUMULATE)
        total += extra
    at = batch * out_batch + first_m * out_m + first_n * out_n
    at = at + (lane_m.to(tl.int64) * out_m)[:, None] + (lane_n.to(tl.int64) * out_n)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def dot_kernel(partial, first, second, n, share, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """partial[p] = sum of first[i] second[i] over the p-th `share` elements."""
    program = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    start = program * share
    stop = tl.minimum(start + share, n)
    total = tl.zeros((BLOCK,), COMPUTE)
    for block in range(start, stop, BLOCK):
        mask = lane < stop - block
        x = tl.load(first + block + lane, mask=mask, other=0).to(COMPUTE)
        total += x * tl.load(second + block + lane, mask=mask, other=0).to(COMPUTE)
    tl.store(partial + program, tl.sum(total, 0))

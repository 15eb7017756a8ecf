"""Kernels with matrix products: matmul, batched, int8, scaled formats, attention."""

import triton
import triton.language as tl


@triton.jit
def matmul(
    a_ptr,
    b_ptr,
    c_ptr,
    M,
    N,
    K,
    stride_am,
    stride_ak,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    row = (tl.program_id(0) * BM + tl.arange(0, BM)) % M
    column = (tl.program_id(1) * BN + tl.arange(0, BN)) % N
    inner = tl.arange(0, BK)
    a = a_ptr + row[:, None] * stride_am + inner[None, :] * stride_ak
    b = b_ptr + inner[:, None] * stride_bk + column[None, :] * stride_bn
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(tl.cdiv(K, BK)):
        x = tl.load(a, mask=inner[None, :] < K - k * BK, other=0.0)
        y = tl.load(b, mask=inner[:, None] < K - k * BK, other=0.0)
        total = tl.dot(x, y, total)
        a += BK * stride_ak
        b += BK * stride_bk
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    column = tl.program_id(1) * BN + tl.arange(0, BN)
    mask = (row[:, None] < M) & (column[None, :] < N)
    tl.store(
        c_ptr + row[:, None] * stride_cm + column[None, :] * stride_cn,
        total.to(c_ptr.dtype.element_ty),
        mask=mask,
    )


@triton.jit
def batched_dot(a_ptr, b_ptr, c_ptr, B: tl.constexpr, S: tl.constexpr):
    batch = tl.arange(0, B)[:, None, None] * S * S
    offsets = batch + tl.arange(0, S)[None, :, None] * S + tl.arange(0, S)[None, None, :]
    a = tl.load(a_ptr + offsets)
    b = tl.trans(tl.load(b_ptr + offsets), 0, 2, 1)
    tl.store(c_ptr + offsets, tl.dot(a, b, input_precision="ieee"))


@triton.jit
def integer_dot(a_ptr, b_ptr, c_ptr, S: tl.constexpr):
    offsets = tl.arange(0, S)[:, None] * S + tl.arange(0, S)[None, :]
    product = tl.dot(tl.load(a_ptr + offsets), tl.load(b_ptr + offsets), out_dtype=tl.int32)
    tl.store(c_ptr + offsets, product)


@triton.jit
def scaled_dot(
    a_ptr, a_scale_ptr, b_ptr, b_scale_ptr, c_ptr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr
):
    m = tl.arange(0, M)[:, None]
    n = tl.arange(0, N)
    k = tl.arange(0, K)
    a = tl.load(a_ptr + m * K + k[None, :])
    b = tl.load(b_ptr + k[:, None] * N + n[None, :])
    a_scale = tl.load(a_scale_ptr + m * (K // 32) + tl.arange(0, K // 32)[None, :])
    b_scale = tl.load(b_scale_ptr + n[:, None] * (K // 32) + tl.arange(0, K // 32)[None, :])
    c = tl.dot_scaled(a, a_scale, "e5m2", b, b_scale, "e4m3")
    c = tl.dot_scaled(a, a_scale, "e5m2", b.to(tl.bfloat16), None, "bf16", acc=c)
    c = tl.dot_scaled(a.to(tl.bfloat16), None, "bf16", b, b_scale, "e4m3", acc=c, fast_math=True)
    tl.store(c_ptr + m * N + n[None, :], c)


@triton.jit
def attention(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    length,
    scale,
    CAUSAL: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    D: tl.constexpr,
):
    """One head; q, k, v, out are contiguous (length, D)."""
    start = tl.program_id(0) * BM
    row = start + tl.arange(0, BM)
    depth = tl.arange(0, D)
    q = tl.load(q_ptr + row[:, None] * D + depth[None, :], mask=row[:, None] < length, other=0.0)
    largest = tl.full([BM], float("-inf"), tl.float32)
    weight = tl.zeros([BM], tl.float32)
    total = tl.zeros([BM, D], tl.float32)
    end = tl.minimum(start + BM, length) if CAUSAL else length
    for first in tl.range(0, end, BN, num_stages=2):
        column = first + tl.arange(0, BN)
        inside = column < length
        k = tl.load(k_ptr + column[None, :] * D + depth[:, None], mask=inside[None, :], other=0.0)
        score = tl.dot(q, k) * scale
        keep = inside[None, :]
        if CAUSAL:
            keep = keep & (row[:, None] >= column[None, :])
        score = tl.where(keep, score, float("-inf"))
        new = tl.maximum(largest, tl.max(score, 1))
        p = tl.exp(score - new[:, None])
        decay = tl.exp(largest - new)
        weight = weight * decay + tl.sum(p, 1)
        v = tl.load(v_ptr + column[:, None] * D + depth[None, :], mask=inside[:, None], other=0.0)
        total = total * decay[:, None] + tl.dot(p.to(v.dtype), v)
        largest = new
    total = total / weight[:, None]
    mask = row[:, None] < length
    tl.store(out_ptr + row[:, None] * D + depth[None, :], total.to(out_ptr.dtype.element_ty), mask=mask)

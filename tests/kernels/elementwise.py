"""Elementwise kernels: arithmetic, mathematical functions, casts, comparisons."""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def add(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    total = tl.load(x_ptr + offsets, mask=mask) + tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, total, mask=mask)


@triton.jit
def gelu_2d(x_ptr, out_ptr, rows, columns, stride_row, stride_column, R: tl.constexpr, C: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.program_id(1) * C + tl.arange(0, C)
    mask = (row[:, None] < rows) & (column[None, :] < columns)
    offsets = row[:, None] * stride_row + column[None, :] * stride_column
    x = tl.load(x_ptr + offsets, mask=mask, other=0.0, eviction_policy="evict_first").to(tl.float32)
    y = 0.5 * x * (1.0 + tl.math.erf(x * 0.7071067811865476))
    tl.store(out_ptr + offsets, y.to(out_ptr.dtype.element_ty), mask=mask, cache_modifier=".cs")


@triton.jit
def functions(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=float("nan"))
    y = tl.exp(x) + tl.exp2(x) + tl.log(x) + tl.log2(x) + tl.sin(x) + tl.cos(x) + tl.sqrt(x) + tl.rsqrt(x)
    y += tl.abs(x) + tl.floor(x) + tl.ceil(x) + tl.sqrt_rn(x) + tl.div_rn(x, y) + tl.fma(x, y, x)
    y += tl.minimum(x, 1.0) + tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)
    y += tl.clamp(x, -1.0, 1.0) + tl.clamp(x, -2.0, 2.0, propagate_nan=tl.PropagateNan.ALL)
    y += libdevice.tanh(x) + libdevice.pow(x, y) + tl.sigmoid(x) % 0.25
    y = tl.where(x > float("-inf"), y, -x)
    tl.store(out_ptr + i, y, mask=i < n)


@triton.jit
def integers(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=7)
    y = tl.load(y_ptr + i, mask=i < n, other=-3)
    z = x // y + x % y + (x << 3) + (x >> 2) + (x & y) + (x | y) + (x ^ y) + ~x
    u = x.to(tl.uint32, bitcast=True)
    v = y.to(tl.uint32, bitcast=True)
    w = u // v + u % v + (u >> 1) + tl.umulhi(u, v) + tl.cdiv(u, 3)
    z += w.to(tl.int32, bitcast=True) + tl.abs(x) + tl.minimum(x, y) + tl.maximum(x, y)
    z += (u < v).to(tl.int32) + (x <= y).to(tl.int32) + (x == y) + (u >= 5)
    tl.store(out_ptr + i, z, mask=i < n)


@triton.jit
def casts(x_ptr, half_ptr, brain_ptr, double_ptr, byte_ptr, long_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    tl.store(half_ptr + i, x.to(tl.float16))
    tl.store(brain_ptr + i, x.to(tl.bfloat16, fp_downcast_rounding="rtz"))
    tl.store(double_ptr + i, x.to(tl.float64))
    tl.store(byte_ptr + i, x.to(tl.int8) + x.to(tl.uint8).to(tl.int8, bitcast=True))
    tl.store(long_ptr + i, x.to(tl.int64) + i.to(tl.uint64).to(tl.int64))
    y = x.to(tl.float8e5).to(tl.float32) + x.to(tl.float8e4nv).to(tl.float32)
    bits = x.to(tl.int32, bitcast=True) + i
    tl.store(out_ptr + i, y + bits.to(tl.float32, bitcast=True) + i.to(tl.float32) + (x > 0).to(tl.float32))


@triton.jit
def dropout(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    keep = tl.rand(seed, offsets) > p
    tl.store(out_ptr + offsets, tl.where(keep, x / (1 - p), 0.0), mask=mask)

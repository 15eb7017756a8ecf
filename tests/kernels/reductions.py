"""Kernels that reduce, scan, sort or count: softmax, layer norm, prefix sums, order."""

import triton
import triton.language as tl


@triton.jit
def softmax(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + i, mask=i < columns, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * stride + i, e / tl.sum(e, axis=0), mask=i < columns)


@triton.jit
def layer_norm(x_ptr, weight_ptr, bias_ptr, out_ptr, mean_ptr, stride, columns, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * stride
    out_ptr += row * stride
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + i, mask=i < columns, other=0.0).to(tl.float32)
    mean = tl.sum(total, axis=0) / columns
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + i, mask=i < columns, other=0.0).to(tl.float32)
        x = tl.where(i < columns, x - mean, 0.0)
        total += x * x
    scale = 1 / tl.sqrt(tl.sum(total, axis=0) / columns + eps)
    tl.store(mean_ptr + row, mean)
    for start in range(0, columns, BLOCK):
        i = start + tl.arange(0, BLOCK)
        mask = i < columns
        x = tl.load(x_ptr + i, mask=mask, other=0.0).to(tl.float32)
        y = (x - mean) * scale * tl.load(weight_ptr + i, mask=mask) + tl.load(bias_ptr + i, mask=mask)
        tl.store(out_ptr + i, y, mask=mask)


@triton.jit
def column_sum(x_ptr, out_ptr, R: tl.constexpr, C: tl.constexpr):
    row = tl.arange(0, R)[:, None]
    column = tl.arange(0, C)[None, :]
    x = tl.load(x_ptr + row * C + column)
    tl.store(out_ptr + tl.arange(0, C), tl.sum(x, axis=0))
    tl.store(out_ptr + C + tl.arange(0, R), tl.min(x, axis=1))
    tl.store(out_ptr + C + R, tl.sum(tl.xor_sum(x.to(tl.int32), axis=1), axis=0).to(tl.float32))


@triton.jit
def arg_max_min(x_ptr, value_ptr, index_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    value, index = tl.max(x, axis=0, return_indices=True)
    tl.store(value_ptr, value)
    tl.store(index_ptr, index)
    tl.store(index_ptr + 1, tl.argmin(x, axis=0, tie_break_left=False))


@triton.jit
def welford_combine(mean_a, m2_a, weight_a, mean_b, m2_b, weight_b):
    delta = mean_b - mean_a
    weight = weight_a + weight_b
    ratio = tl.where(weight == 0.0, 0.0, weight_b / weight)
    return mean_a + delta * ratio, m2_a + m2_b + delta * delta * weight_a * ratio, weight


@triton.jit
def welford(x_ptr, out_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    mean, m2, weight = tl.reduce((x, tl.zeros_like(x), x * 0 + 1), 0, welford_combine)
    tl.store(out_ptr, mean)
    tl.store(out_ptr + 1, m2 / weight)


@triton.jit
def linear_recurrence(decay_a, value_a, decay_b, value_b):
    return decay_a * decay_b, value_b + decay_b * value_a


@triton.jit
def scans(x_ptr, out_ptr, R: tl.constexpr, C: tl.constexpr):
    offsets = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    x = tl.load(x_ptr + offsets)
    y = tl.cumsum(x, axis=1) + tl.cumprod(x, axis=0) + tl.cumsum(x, axis=0, reverse=True)
    _, state = tl.associative_scan((x, y), 1, linear_recurrence)
    tl.store(out_ptr + offsets, state)


@triton.jit
def sort_rows(x_ptr, out_ptr, R: tl.constexpr, C: tl.constexpr):
    offsets = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    x = tl.load(x_ptr + offsets)
    tl.store(out_ptr + offsets, tl.sort(x, dim=1, descending=True) + tl.flip(x, 1))


@triton.jit
def histogram(x_ptr, out_ptr, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0)
    counts = tl.histogram(x, BINS, mask=i < n) + tl.histogram(x, BINS)
    tl.store(out_ptr + tl.arange(0, BINS), counts)


@triton.jit
def gather_rows(x_ptr, index_ptr, out_ptr, R: tl.constexpr, C: tl.constexpr):
    offsets = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    x = tl.load(x_ptr + offsets)
    index = tl.load(index_ptr + offsets)
    tl.store(out_ptr + offsets, tl.gather(x, index, axis=1))

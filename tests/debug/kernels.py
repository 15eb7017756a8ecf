"""Kernels for the sanitizer's tests: each is right for some arguments and wrong for others. They read and
write their own tensors, and nothing else."""

from __future__ import annotations

import triton
import triton.language as tl


def jit(function):
    """Compiled once for all values of the integers, whatever these are divisible by."""
    names = [
        name for name in function.__code__.co_varnames[: function.__code__.co_argcount] if name.islower()
    ]
    return triton.jit(function, do_not_specialize=names, do_not_specialize_on_alignment=names)


@jit
def copy(x, y, n, m, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + k, tl.load(x + k, mask=k < n), mask=k < m)


@jit
def rows(x, y, first, count, columns, x_stride, y_stride, R: tl.constexpr, C: tl.constexpr):
    r = first + tl.program_id(0) * R + tl.arange(0, R)[:, None]
    c = tl.arange(0, C)[None, :]
    mask = (r < first + count) & (c < columns)
    tl.store(y + r * y_stride + c, tl.load(x + r * x_stride + c, mask=mask) * 2, mask=mask)


@jit
def pick(x, where, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.load(x + tl.load(where + k)))


@jit
def put(x, where, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + tl.load(where + k), tl.load(x + k))


@jit
def walk(x, y, steps, stride, out_stride, B: tl.constexpr):
    k = tl.arange(0, B)
    source, target = x + k, y + k
    total = tl.zeros((B,), tl.float32)
    for _ in range(steps):
        total += tl.load(source)
        tl.store(target, total)
        source += stride
        target += out_stride


@jit
def described(x, y, x_rows, y_rows, stride, at, C: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [x_rows, C], [stride, 1], [4, C])
    target = tl.make_tensor_descriptor(y, [y_rows, C], [stride, 1], [4, C])
    target.store([at, 0], source.load([at, 0]) + 1)


@jit
def count(where, counts, n, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.atomic_add(counts + tl.load(where + k, mask=k < n), 1, mask=k < n)


@jit
def exchange(flags, at, step):
    tl.atomic_cas(flags + at * step, 0, 7)


@jit
def either(x, other, y, first, B: tl.constexpr):
    k = tl.arange(0, B)
    source = x if first > 0 else other
    tl.store(y + k, tl.load(source + k))


@jit
def single(x, y, read, write):
    tl.store(y + write, tl.load(x + read) + 1)


@jit
def search(x, y, wanted, n):
    at = 0
    value = tl.load(x)
    while (value != wanted) & (at < n):
        at += 1
        value = tl.load(x + at)
    tl.store(y, at)


@jit
def product(a, b, c, inner, columns, M: tl.constexpr, K: tl.constexpr):
    m, k = tl.arange(0, M), tl.arange(0, K)
    left = a + m[:, None] * inner + k[None, :]
    right = b + k[:, None] * columns + m[None, :]
    total = tl.zeros((M, M), tl.float32)
    for _ in range(0, inner, K):
        total += tl.dot(tl.load(left), tl.load(right))
        left += K
        right += K * columns
    tl.store(c + m[:, None] * columns + m[None, :], total)


@jit
def turned(x, y, last, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.load(x + last - k))


@jit
def strided(x, y, factor, shift, out, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k * out, tl.load(x + (k * factor - shift)))


@jit
def far(x, y, size, back, B: tl.constexpr):
    start = tl.program_id(0) * size - back
    k = start + tl.arange(0, B)
    tl.store(y + tl.arange(0, B), tl.load(x + k))


@jit
def hashed(x, y, multiplier, B: tl.constexpr):
    k = tl.arange(0, B)
    h = k * multiplier
    h = (h ^ (h >> 15)) * multiplier
    tl.store(y + k, tl.load(x + (h & (B - 1))))


@jit
def partial_sums(x, scratch, y, programs, phase, B: tl.constexpr, P: tl.constexpr):
    p = tl.program_id(0)
    if phase == 0:
        tl.store(scratch + p, tl.sum(tl.load(x + p * B + tl.arange(0, B)), 0))
    else:
        k = tl.arange(0, P)
        tl.store(y, tl.sum(tl.load(scratch + k, mask=k < programs, other=0.0), 0))


@jit
def tiles(x, y, step, B: tl.constexpr):
    k = tl.arange(0, B)
    p = tl.program_id(0)
    tl.store(y + p * step + k, tl.load(x + p * B + k))


@jit
def shifted(x, first, distance, B: tl.constexpr):
    k = first + tl.program_id(0) * B + tl.arange(0, B)
    tl.store(x + k, tl.load(x + k + distance) + 1)


@jit
def added(x, total, step, B: tl.constexpr):
    p = tl.program_id(0)
    own = tl.sum(tl.load(x + p * B + tl.arange(0, B)), 0)
    tl.store(total + p * step, tl.load(total + p * step) + own)


@jit
def planes(x, y, x_step, y_step, B: tl.constexpr):
    k = tl.arange(0, B)
    at = tl.program_id(0) * x_step + tl.program_id(1) * y_step
    tl.store(y + at + k, tl.load(x + k) + tl.program_id(1))


@jit
def last_one_sums(x, scratch, counter, y, programs, B: tl.constexpr, P: tl.constexpr):
    p = tl.program_id(0)
    tl.store(scratch + p, tl.sum(tl.load(x + p * B + tl.arange(0, B)), 0))
    if tl.atomic_add(counter, 1) == programs - 1:
        k = tl.arange(0, P)
        tl.store(y, tl.sum(tl.load(scratch + k, mask=k < programs, other=0.0), 0))


@jit
def quotient(x, d, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.load(x + k) / tl.load(d + k))


@jit
def logarithm(x, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.log(tl.load(x + k)))


@jit
def narrowed(x, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.load(x + k).to(tl.float16))


@jit
def largest(x, y, n, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y, tl.max(tl.load(x + k, mask=k < n, other=float("-inf")), 0))

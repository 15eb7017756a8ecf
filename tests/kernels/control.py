"""Kernels about control flow and effects: loops, branches, calls, early return, print, assert."""

import triton
import triton.language as tl


@triton.jit
def collatz(x_ptr, out_ptr, limit):
    pid = tl.program_id(0)
    x = tl.load(x_ptr + pid)
    steps = 0
    while (x > 1) & (steps < limit):
        if x % 2 == 0:
            x = x // 2
        else:
            x = 3 * x + 1
        steps += 1
    tl.store(out_ptr + pid, steps)


@triton.jit
def early_return(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    i = pid * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    if tl.sum(x) == 0.0:
        tl.store(out_ptr + pid, -1.0)
        return
    tl.store(out_ptr + pid, tl.max(x))


@triton.jit
def first_positive(a, b):
    if a > 0.0:
        return a
    if b > 0.0:
        return b * 2.0
    return 0.0


@triton.jit
def early_return_in_loop(x_ptr, out_ptr, n):
    total = 0.0
    for i in range(n):
        total += first_positive(tl.load(x_ptr + i), tl.load(x_ptr + i + 1))
    tl.store(out_ptr, total)


@triton.jit(noinline=True)
def double_or_stop(x, limit):
    if x > limit:
        return limit.to(tl.float32)
    return x * 2


@triton.jit(noinline=True)
def square_sum(x, y):
    return x * x + y, x + y


@triton.jit
def calls(x_ptr, out_ptr, limit, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    scalar = tl.load(x_ptr + pid)
    for k in range(limit):
        scalar, _ = square_sum(scalar, scalar + k)
    tl.store(out_ptr + i, tl.load(x_ptr + i) + double_or_stop(scalar, limit))


@triton.jit
def branches(x_ptr, out_ptr, n, step):
    total = 0.0
    for i in range(n, 0, -1):
        value = tl.load(x_ptr + i)
        if value > 0:
            if i % 2 == 0:
                total += value
        else:
            total -= value
    for i in tl.static_range(3):
        total += i
    for i in range(0, n.to(tl.int64), step):
        total = tl.where(i > 3, total + 1.0, total)
    if (total > 3.0) & (n > 1):
        tl.store(out_ptr, total)


@triton.jit
def scalar_step(a, b):
    if a > b:
        result = a - b
    else:
        result = a * b
    return result, a


@triton.jit
def mapped(x_ptr, y_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    step, first = tl.map_elementwise(scalar_step, tl.load(x_ptr + i), tl.load(y_ptr + i))
    tl.store(out_ptr + i, step + first)


@triton.jit
def effects(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.assume(n > 0)
    x = tl.load(x_ptr + i, mask=i < n, other=0)
    tl.device_print("x and index", x, i)
    tl.device_print('hexadecimal "quoted" \\ text', x, hex=True)
    tl.device_print("only text")
    tl.device_assert(x >= 0, 'x must not be negative: "x"')
    tl.store(out_ptr + i, x * tl.num_programs(0) + tl.num_programs(2))


@triton.jit
def inline_assembly(x_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    y = tl.inline_asm_elementwise(
        "shl.b32 $0, $1, 3;", "=r,r", [tl.load(x_ptr + i)], dtype=tl.int32, is_pure=True, pack=1
    )
    tl.store(out_ptr + i, y)

"""Kernels about memory: atomics, descriptors, hints, pointers as integers, changes of shape."""

import triton
import triton.language as tl


@triton.jit
def atomics(x_ptr, float_ptr, half_ptr, int_ptr, old_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask)
    old = tl.atomic_add(float_ptr + i, x, mask=mask)
    old += tl.atomic_max(float_ptr + i, x, sem="relaxed", scope="cta")
    old += tl.atomic_min(float_ptr + i, x, mask=mask)
    tl.atomic_add(half_ptr + i, x.to(tl.float16), mask=mask, sem="release", scope="sys")
    bits = x.to(tl.int32)
    tl.atomic_and(int_ptr + i, bits)
    tl.atomic_or(int_ptr + i, bits)
    tl.atomic_xor(int_ptr + i, bits, mask=mask)
    tl.atomic_min(int_ptr + i, bits)
    tl.atomic_max(int_ptr + i, bits.to(tl.uint32, bitcast=True))
    old += tl.atomic_xchg(int_ptr + i, bits).to(tl.float32)
    old += tl.atomic_cas(int_ptr + i, bits, bits + 1, sem="acquire").to(tl.float32)
    tl.atomic_add(int_ptr, 1)
    tl.store(old_ptr + i, old, mask=mask)


@triton.jit
def spin_lock(lock_ptr, count_ptr, value_ptr):
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    count = tl.load(count_ptr)
    tl.store(value_ptr, tl.load(value_ptr, volatile=True) + count)
    tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)


@triton.jit
def transpose_descriptor(in_ptr, out_ptr, rows, columns, R: tl.constexpr, C: tl.constexpr):
    source = tl.make_tensor_descriptor(in_ptr, [rows, columns], [columns, 1], [R, C])
    target = tl.make_tensor_descriptor(out_ptr, [columns, rows], [rows, 1], [C, R])
    row = tl.program_id(0) * R
    column = tl.program_id(1) * C
    target.store([column, row], source.load([row, column]).T)


@triton.jit
def descriptor_atomic(in_ptr, out_ptr, index_ptr, rows, columns, R: tl.constexpr, C: tl.constexpr):
    source = tl.make_tensor_descriptor(in_ptr, [rows, columns], [columns, 1], [1, C])
    target = tl.make_tensor_descriptor(out_ptr, [rows, columns], [columns, 1], [R, C])
    row = tl.load(index_ptr + tl.arange(0, R))
    target.atomic_add([0, 0], source.gather(row, 0))


@triton.jit
def pointer_table(table_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    address = tl.load(table_ptr + tl.program_id(0))
    source = tl.multiple_of(address.to(tl.pointer_type(tl.float32)), 16)
    i = tl.max_contiguous(tl.multiple_of(i, BLOCK), BLOCK)
    x = tl.load(source + i, mask=i < n, cache_modifier=".ca", eviction_policy="evict_last")
    tl.store(out_ptr + i, x + (out_ptr.to(tl.int64) % 16).to(tl.float32), eviction_policy="evict_first")


@triton.jit
def shapes(x_ptr, y_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    y = tl.load(y_ptr + i)
    pairs = tl.join(x, y)
    left, right = tl.split(pairs)
    mixed = tl.interleave(left, right) + tl.reshape(tl.trans(pairs), (2 * BLOCK,))
    both = tl.cat(x, y, can_reorder=True) + tl.ravel(
        tl.permute(tl.reshape(mixed, (2, 2, BLOCK // 2)), (2, 0, 1))
    )
    wide = tl.broadcast_to(x[:, None], (BLOCK, 2)) * 2
    both += tl.reshape(wide, (2 * BLOCK,), can_reorder=True)
    tl.store(out_ptr + tl.arange(0, 2 * BLOCK), both + tl.sum(tl.load(x_ptr + tl.arange(0, 1))))


@triton.jit
def atomic_mailbox(flag_ptr, box_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """Triton 3.9 and later."""
    i = tl.arange(0, BLOCK)
    seen = tl.atomic_poll(flag_ptr + i, 1, timeout_ns=1000)
    value = tl.atomic_load(box_ptr + i, mask=seen & (i < n), sem="relaxed")
    tl.atomic_store(box_ptr + i, value * 2, mask=i < n)
    tl.atomic_store(flag_ptr, 0, scope="sys")
    tl.store(out_ptr + i, value, mask=seen)


@triton.jit
def transpose_block_pointer(in_ptr, out_ptr, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Triton up to 3.8."""
    row = tl.program_id(0) * R
    source = tl.make_block_ptr(in_ptr, (rows, columns), (columns, 1), (row, 0), (R, C), (1, 0))
    target = tl.make_block_ptr(out_ptr, (columns, rows), (rows, 1), (0, row), (C, R), (1, 0))
    for _ in range(0, columns, C):
        block = tl.load(source, boundary_check=(0, 1), padding_option="zero")
        tl.store(target, tl.trans(block), boundary_check=(0, 1))
        source = tl.advance(source, (0, C))
        target = tl.advance(target, (C, 0))

"""The two kernels that pointwise operators share, `flat_kernel` (contiguous) and `tiled_kernel` (any
strides), and how they read operands and store results."""

from __future__ import annotations

import triton
import triton.language as tl

from .kernels.numbers import double


@triton.jit
def operand(pointer, offset, bits, mask, RAW: tl.constexpr, COMPUTE: tl.constexpr, FLOAT: tl.constexpr):
    """An operand's values in the computing type: loaded, or a number given as 64 bits."""
    if pointer is None:
        if FLOAT:
            value = double(bits).to(COMPUTE)
        else:
            value = bits.to(tl.int64).to(COMPUTE)
    else:
        value = tl.load(pointer + offset, mask=mask, other=0)
        if not RAW:
            value = value.to(COMPUTE)
    return value


@triton.jit
def store_as(pointer, value, mask):
    """Store, converting as PyTorch does: anything but zero is true, floats truncate toward zero."""
    OUT: tl.constexpr = pointer.dtype.element_ty
    if tl.int1 == OUT:
        tl.store(pointer, value != 0, mask=mask)
    elif OUT.is_int() and value.dtype.is_floating():
        if OUT.primitive_bitwidth <= 32 and OUT.is_int_signed():
            tl.store(pointer, value.to(tl.int32).to(OUT), mask=mask)
        else:
            tl.store(pointer, value.to(tl.int64).to(OUT), mask=mask)
    else:
        tl.store(pointer, value.to(OUT), mask=mask)


@triton.jit
def apply(a, b, c, d, e, FUNCTION: tl.constexpr, ARITY: tl.constexpr):
    """`FUNCTION` of its first `ARITY` operands."""
    if ARITY == 1:
        value = FUNCTION(a)
    elif ARITY == 2:
        value = FUNCTION(a, b)
    elif ARITY == 3:
        value = FUNCTION(a, b, c)
    elif ARITY == 4:
        value = FUNCTION(a, b, c, d)
    else:
        value = FUNCTION(a, b, c, d, e)
    return value


@triton.jit
def flat_operand(
    pointer,
    start,
    lane,
    n,
    bits,
    UNIFORM: tl.constexpr,
    RAW: tl.constexpr,
    COMPUTE: tl.constexpr,
    FLOAT: tl.constexpr,
):
    """An operand's values in a contiguous block; a UNIFORM one is a single value in memory."""
    if UNIFORM:
        value = operand(pointer, start * 0, bits, start < n, RAW, COMPUTE, FLOAT)
    else:
        value = operand(pointer, start + lane, bits, lane < n - start, RAW, COMPUTE, FLOAT)
    return value


@triton.jit
def tiled_operand(
    pointer,
    base,
    along_m,
    along_n,
    rows,
    mask,
    bits,
    UNIFORM: tl.constexpr,
    RAW: tl.constexpr,
    COMPUTE: tl.constexpr,
    FLOAT: tl.constexpr,
):
    """An operand's values in a tile; of a UNIFORM one each row is a single value in memory, read once."""
    if UNIFORM:
        value = operand(pointer, base + along_m, bits, rows, RAW, COMPUTE, FLOAT)
    else:
        value = operand(pointer, base + along_m + along_n, bits, mask, RAW, COMPUTE, FLOAT)
    return value


@triton.jit(do_not_specialize=["s0", "s1", "s2", "s3", "s4"])
def flat_kernel(
    out,
    p0,
    p1,
    p2,
    p3,
    p4,
    n,
    s0: tl.int64,
    s1: tl.int64,
    s2: tl.int64,
    s3: tl.int64,
    s4: tl.int64,
    FUNCTION: tl.constexpr,
    ARITY: tl.constexpr,
    RAW: tl.constexpr,
    UNIFORM: tl.constexpr,
    COMPUTE: tl.constexpr,
    FLOAT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = FUNCTION(p0[i], ...) for 0 <= i < n; an operand whose pointer is None is the number s,
    and one whose bit is in UNIFORM is a single value in memory. Bit 5 says that all of them are; a
    function may ask for the largest of a block, so it gets one."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    a = flat_operand(p0, start, lane, n, s0, UNIFORM & 1, RAW & 1, COMPUTE, FLOAT)
    b = flat_operand(p1, start, lane, n, s1, UNIFORM & 2, RAW & 2, COMPUTE, FLOAT)
    c = flat_operand(p2, start, lane, n, s2, UNIFORM & 4, RAW & 4, COMPUTE, FLOAT)
    d = flat_operand(p3, start, lane, n, s3, UNIFORM & 8, RAW & 8, COMPUTE, FLOAT)
    e = flat_operand(p4, start, lane, n, s4, UNIFORM & 16, RAW & 16, COMPUTE, FLOAT)
    if UNIFORM & 32:
        a = tl.broadcast_to(a, (BLOCK,))
    store_as(out + start + lane, apply(a, b, c, d, e, FUNCTION, ARITY), lane < n - start)


@triton.jit(do_not_specialize=["s0", "s1", "s2", "s3", "s4"])
def tiled_kernel(
    out,
    p0,
    p1,
    p2,
    p3,
    p4,
    table,
    M,
    N,
    along_m,
    along_n,
    s0: tl.int64,
    s1: tl.int64,
    s2: tl.int64,
    s3: tl.int64,
    s4: tl.int64,
    FUNCTION: tl.constexpr,
    ARITY: tl.constexpr,
    RAW: tl.constexpr,
    UNIFORM: tl.constexpr,
    OUTER: tl.constexpr,
    COMPUTE: tl.constexpr,
    FLOAT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """The same over any strides: a program covers one BLOCK_M x BLOCK_N tile of the two innermost dimensions,
    of M and N elements; `along_m` and `along_n` are the strides of `out` and of the operands there. Operands
    whose bits are in UNIFORM have one value in each row of the tile.

    out and p0 to p4: tensors of any strides, or None; table [OUTER, 7], int64: size and strides of each of
    the other dimensions.
    """
    out_m, m0, m1, m2, m3, m4 = along_m
    out_n, n0, n1, n2, n3, n4 = along_n
    tiles_n = tl.cdiv(N, BLOCK_N)
    tiles = tl.cdiv(M, BLOCK_M) * tiles_n
    program = tl.program_id(0)
    rest = (program // tiles).to(tl.int64)
    tile = program % tiles
    first_m = (tile // tiles_n).to(tl.int64) * BLOCK_M
    first_n = (tile % tiles_n).to(tl.int64) * BLOCK_N
    out += first_m * out_m + first_n * out_n
    base0 = first_m * m0 + first_n * n0
    base1 = first_m * m1 + first_n * n1
    base2 = first_m * m2 + first_n * n2
    base3 = first_m * m3 + first_n * n3
    base4 = first_m * m4 + first_n * n4
    for k in tl.static_range(OUTER):
        row = table + (OUTER - 1 - k) * 7
        size = tl.load(row)
        index = rest % size
        rest = rest // size
        out += index * tl.load(row + 1)
        base0 += index * tl.load(row + 2)
        if ARITY > 1:
            base1 += index * tl.load(row + 3)
        if ARITY > 2:
            base2 += index * tl.load(row + 4)
        if ARITY > 3:
            base3 += index * tl.load(row + 5)
        if ARITY > 4:
            base4 += index * tl.load(row + 6)
    lane_m = tl.arange(0, BLOCK_M)[:, None].to(tl.int64)
    lane_n = tl.arange(0, BLOCK_N)[None, :].to(tl.int64)
    rows = lane_m < M - first_m
    mask = rows & (lane_n < N - first_n)
    a = tiled_operand(
        p0, base0, lane_m * m0, lane_n * n0, rows, mask, s0, UNIFORM & 1, RAW & 1, COMPUTE, FLOAT
    )
    b = tiled_operand(
        p1, base1, lane_m * m1, lane_n * n1, rows, mask, s1, UNIFORM & 2, RAW & 2, COMPUTE, FLOAT
    )
    c = tiled_operand(
        p2, base2, lane_m * m2, lane_n * n2, rows, mask, s2, UNIFORM & 4, RAW & 4, COMPUTE, FLOAT
    )
    d = tiled_operand(
        p3, base3, lane_m * m3, lane_n * n3, rows, mask, s3, UNIFORM & 8, RAW & 8, COMPUTE, FLOAT
    )
    e = tiled_operand(
        p4, base4, lane_m * m4, lane_n * n4, rows, mask, s4, UNIFORM & 16, RAW & 16, COMPUTE, FLOAT
    )
    store_as(out + lane_m * out_m + lane_n * out_n, apply(a, b, c, d, e, FUNCTION, ARITY), mask)

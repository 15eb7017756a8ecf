"""The kernels of products with packed weights. Activations are rounded to 8 bits in blocks of 32, as
llama.cpp does, so that four products and their sum are one step for whole numbers (`dp4a`); nothing is
rounded after it but sums in float32. Each element of a result is summed in one order, whatever else is
computed beside it."""

from __future__ import annotations

import triton
import triton.language as tl

from ..quantization.rounding import nearest_of_127
from .formats import IQ4_VALUES

IQ4: tl.constexpr = tl.constexpr(IQ4_VALUES)


@triton.jit
def dot_of_bytes(a, b, total, SIGNED: tl.constexpr):
    """total + a . b of four bytes each, those of `b` signed."""
    if SIGNED:
        return tl.inline_asm_elementwise(
            "dp4a.s32.s32 $0, $1, $2, $3;", "=r,r,r,r", [a, b, total], dtype=tl.int32, is_pure=True, pack=1
        )
    else:
        return tl.inline_asm_elementwise(
            "dp4a.u32.s32 $0, $1, $2, $3;", "=r,r,r,r", [a, b, total], dtype=tl.int32, is_pure=True, pack=1
        )


# ---- codes ----------------------------------------------------------------------------------------


@triton.jit
def bits_of(plane, j: tl.constexpr, BITS: tl.constexpr, MASK: tl.constexpr, ROWS: tl.constexpr):
    """The codes' bits of word j of a block of 32, a byte each."""
    words: tl.constexpr = BITS
    return (tl.load(plane + (j % words) * ROWS) >> (BITS * (j // words))) & MASK


@triton.jit
def chosen(bit, one, other):
    """In each byte `one` where `bit` is 1, `other` where it is 0."""
    mask = (bit << 8) - bit
    return other ^ (mask & (one ^ other))


@triton.jit
def byte_four_times(value: tl.constexpr):
    word: tl.constexpr = (value & 255) * 0x01010101
    return word - ((word >> 31) << 32)


@triton.jit
def pair_of_table(bit, k: tl.constexpr):
    return chosen(bit, byte_four_times(IQ4[2 * k + 1]), byte_four_times(IQ4[2 * k]))


@triton.jit
def iq4_of(code):
    """Numbers of the IQ4 formats for four codes of 4 bits."""
    b0 = code & 0x01010101
    b1 = (code >> 1) & 0x01010101
    b2 = (code >> 2) & 0x01010101
    b3 = (code >> 3) & 0x01010101
    first = chosen(b1, pair_of_table(b0, 1), pair_of_table(b0, 0))
    second = chosen(b1, pair_of_table(b0, 3), pair_of_table(b0, 2))
    third = chosen(b1, pair_of_table(b0, 5), pair_of_table(b0, 4))
    fourth = chosen(b1, pair_of_table(b0, 7), pair_of_table(b0, 6))
    return chosen(b3, chosen(b2, fourth, third), chosen(b2, second, first))


@triton.jit
def e2m1_of(code):
    """Twice the e2m1 numbers of four codes: 0, 1, 2, 3, 4, 6, 8, 12, and the same negative."""
    b2 = (code >> 2) & 0x01010101
    b1 = (code >> 1) & b2
    b0 = code & b2
    magnitude = (code & 0x07070707) + b0 + 2 * b1 + 2 * (b0 & b1)
    some = (code | (code >> 1) | (code >> 2)) & 0x01010101
    negative = (code >> 3) & some
    return (magnitude ^ ((negative << 8) - negative)) + negative


@triton.jit
def codes_of(
    low, high, j: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr, TABLE: tl.constexpr, ROWS: tl.constexpr
):
    """Word j of a block of 32 as whole numbers in bytes; `low` and `high` are the block's planes."""
    if LOW == 8:
        code = tl.load(low + j * ROWS)
    elif LOW == 4:
        code = bits_of(low, j, 4, 0x0F0F0F0F, ROWS)
    else:
        code = bits_of(low, j, 2, 0x03030303, ROWS)
    if TABLE == "iq4":
        code = iq4_of(code)
    elif TABLE == "e2m1":
        code = e2m1_of(code)
    elif HIGH == 1:
        code = (code | (bits_of(high, j, 1, 0x01010101, ROWS) << LOW)) & 0x7F7F7F7F
    elif HIGH == 2:
        code = (code | (bits_of(high, j, 2, 0x03030303, ROWS) << LOW)) & 0x7F7F7F7F
    return code


# ---- products -------------------------------------------------------------------------------------


@triton.jit
def block_of(
    low,
    high,
    scales,
    minimums,
    k,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    BLOCKS: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Block k of ROWS rows of the weight: where its planes lie, and its scale and minimum [ROWS]."""
    low_at = low + k * LOW * ROWS
    high_at = low_at
    if HIGH:
        high_at = high + k * HIGH * ROWS
    scale = tl.load(scales + (k // BLOCKS) * ROWS).to(tl.float32)
    minimum = scale
    if SIGN != 0:
        minimum = tl.load(minimums + (k // BLOCKS) * ROWS).to(tl.float32)
    return low_at, high_at, scale, minimum


@triton.jit
def add_block(
    total,
    x,
    x_scales,
    x_sums,
    low,
    high,
    scale,
    minimum,
    part_scales,
    part_minimums,
    parts_at,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TABLE: tl.constexpr,
    OFFSET: tl.constexpr,
    PARTS: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
):
    """total [ROWS] + a block of 32 elements of a row of x times those of ROWS rows of the weight, whose
    planes, scale and minimum [ROWS] are given, and parts from `parts_at` on."""
    x_scale = tl.load(x_scales)
    for part in tl.static_range(PARTS):
        sums = tl.zeros((ROWS,), tl.int32)
        for j in tl.static_range(part * (8 // PARTS), (part + 1) * (8 // PARTS)):
            code = codes_of(low, high, j, LOW, HIGH, TABLE, ROWS)
            sums = dot_of_bytes(code, tl.load(x + j), sums, LOW == 8 or TABLE != "")
        if PARTS == 2:
            x_sum = tl.load(x_sums + part)
        else:
            x_sum = tl.load(x_sums) + tl.load(x_sums + 1)
        if OFFSET:
            sums -= OFFSET * x_sum
        part_scale = scale
        if part_scales is not None:
            part_scale = scale * tl.load(part_scales + parts_at + part * ROWS).to(tl.float32)
        total += (part_scale * x_scale) * sums.to(tl.float32)
        if SIGN != 0:
            least = minimum
            if part_minimums is not None:
                least = minimum * tl.load(part_minimums + parts_at + part * ROWS).to(tl.float32)
            total += least * ((SIGN * x_scale) * x_sum.to(tl.float32))
    return total


@triton.jit
def store_products(out, total, bias, residual, row, column, columns):
    """total + bias + residual of one row, columns from `columns` on left out."""
    mask = column < columns
    if bias is not None:
        total += tl.load(bias + column, mask=mask, other=0.0).to(tl.float32)
    if residual is not None:
        total += tl.load(residual + row * columns + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * columns + column, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def packed_product_kernel(
    out,
    x,
    x_scales,
    x_sums,
    low,
    high,
    scales,
    minimums,
    part_scales,
    part_minimums,
    bias,
    residual,
    columns,
    blocks,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TABLE: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCKS: tl.constexpr,
    PARTS: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
    M: tl.constexpr,
):
    """M rows (1, 2 or 4) of x against ROWS rows of the weight, whose codes are unpacked once for them. x
    [rows, 32 blocks] int8 as words of four, with scales [rows, blocks] and sums [rows, 2 blocks]; the weight
    as `PackedWeight` has it, BLOCKS blocks of 32 in one of the format's, PARTS parts in each; bias [columns],
    residual [rows, columns] as out, or None. An element's sum has the same order whatever M is."""
    row = tl.program_id(0).to(tl.int64) * M
    group = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, ROWS)
    x += row * blocks * 8
    x_scales += row * blocks
    x_sums += row * blocks * 2
    low += group * blocks * LOW * ROWS + lane
    if HIGH:
        high += group * blocks * HIGH * ROWS + lane
    scales += group * (blocks // BLOCKS) * ROWS + lane
    if SIGN != 0:
        minimums += group * (blocks // BLOCKS) * ROWS + lane
    if part_scales is not None:
        part_scales += group * blocks * PARTS * ROWS + lane
    if part_minimums is not None:
        part_minimums += group * blocks * PARTS * ROWS + lane
    total = tl.zeros((ROWS,), tl.float32)
    second = total
    third = total
    fourth = total
    for k in range(blocks):
        low_at, high_at, scale, minimum = block_of(
            low, high, scales, minimums, k, LOW, HIGH, BLOCKS, SIGN, ROWS
        )
        parts_at = k * PARTS * ROWS
        at = x + k * 8
        x_scale = x_scales + k
        x_sum = x_sums + 2 * k
        total = add_block(
            total, at, x_scale, x_sum, low_at, high_at, scale, minimum,
            part_scales, part_minimums, parts_at, LOW, HIGH, TABLE, OFFSET, PARTS, SIGN, ROWS,
        )  # fmt: skip
        if M > 1:
            at += blocks * 8
            x_scale += blocks
            x_sum += blocks * 2
            second = add_block(
                second, at, x_scale, x_sum, low_at, high_at, scale, minimum,
                part_scales, part_minimums, parts_at, LOW, HIGH, TABLE, OFFSET, PARTS, SIGN, ROWS,
            )  # fmt: skip
        if M > 2:
            at += blocks * 8
            x_scale += blocks
            x_sum += blocks * 2
            third = add_block(
                third, at, x_scale, x_sum, low_at, high_at, scale, minimum,
                part_scales, part_minimums, parts_at, LOW, HIGH, TABLE, OFFSET, PARTS, SIGN, ROWS,
            )  # fmt: skip
            at += blocks * 8
            x_scale += blocks
            x_sum += blocks * 2
            fourth = add_block(
                fourth, at, x_scale, x_sum, low_at, high_at, scale, minimum,
                part_scales, part_minimums, parts_at, LOW, HIGH, TABLE, OFFSET, PARTS, SIGN, ROWS,
            )  # fmt: skip
    column = group * ROWS + lane
    store_products(out, total, bias, residual, row, column, columns)
    if M > 1:
        store_products(out, second, bias, residual, row + 1, column, columns)
    if M > 2:
        store_products(out, third, bias, residual, row + 2, column, columns)
        store_products(out, fourth, bias, residual, row + 3, column, columns)


@triton.jit
def unpack_rows_kernel(
    out,
    chosen_rows,
    low,
    high,
    scales,
    minimums,
    part_scales,
    part_minimums,
    blocks,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TABLE: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCKS: tl.constexpr,
    PARTS: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Elements of the rows that are chosen, one program for BLOCK elements of one of them."""
    place = tl.program_id(0).to(tl.int64)
    row = tl.load(chosen_rows + place).to(tl.int64)
    group = row // ROWS
    lane = row % ROWS
    element = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = element < blocks * 32
    k = element // 32
    word = element % 32 // 4
    byte = element % 4
    # Word j of the low plane has the codes of words j, j + LOW, ... of the block.
    low_at = low + (group * blocks * LOW + k * LOW + word % LOW) * ROWS + lane
    code = tl.load(low_at, mask=mask, other=0) >> (8 * byte)
    if LOW == 8:
        number = (code << 24) >> 24
    else:
        code = (code >> (LOW * (word // LOW))) & ((1 << LOW) - 1)
        if HIGH:
            high_at = high + (group * blocks * HIGH + k * HIGH + word % HIGH) * ROWS + lane
            more = tl.load(high_at, mask=mask, other=0) >> (8 * byte + HIGH * (word // HIGH))
            code = code | ((more & ((1 << HIGH) - 1)) << LOW)
        if TABLE == "iq4":
            number = (iq4_of(code) << 24) >> 24
        elif TABLE == "e2m1":
            number = (e2m1_of(code) << 24) >> 24
        else:
            number = code - OFFSET
    block_at = (group * (blocks // BLOCKS) + k // BLOCKS) * ROWS + lane
    part_at = (group * blocks * PARTS + element // (32 // PARTS)) * ROWS + lane
    scale = tl.load(scales + block_at, mask=mask, other=0.0).to(tl.float32)
    if part_scales is not None:
        scale *= tl.load(part_scales + part_at, mask=mask, other=0).to(tl.float32)
    value = scale * number.to(tl.float32)
    if SIGN != 0:
        minimum = tl.load(minimums + block_at, mask=mask, other=0.0).to(tl.float32)
        if part_minimums is not None:
            minimum *= tl.load(part_minimums + part_at, mask=mask, other=0).to(tl.float32)
        value += SIGN * minimum
    tl.store(out + place * blocks * 32 + element, value.to(out.dtype.element_ty), mask=mask)


# ---- activations ----------------------------------------------------------------------------------


@triton.jit
def store_rounded(x, x_scales, x_sums, value, first, last, BLOCKS: tl.constexpr):
    """Blocks `first` to `last` - 1, a value [BLOCKS, 32], rounded to 127ths of each block's largest
    magnitude."""
    block = first + tl.arange(0, BLOCKS)
    inside = block < last
    largest = tl.max(tl.abs(value), 1)
    divisor = tl.where(largest == 0.0, 1.0, largest)
    rounded = nearest_of_127(value, divisor[:, None]).to(tl.int32)
    lane = tl.arange(0, 32)
    tl.store(x + block[:, None] * 32 + lane[None, :], rounded.to(tl.int8), mask=inside[:, None])
    tl.store(x_scales + block, largest / 127.0, mask=inside)
    sums = tl.sum(tl.reshape(rounded, (BLOCKS, 2, 16)), 2)
    at = x_sums + block[:, None] * 2 + tl.arange(0, 2)[None, :]
    tl.store(at, sums, mask=inside[:, None])


@triton.jit
def round_rows_kernel(x, x_scales, x_sums, source, row_stride, blocks, BLOCKS: tl.constexpr):
    """BLOCKS blocks of one row of `source`, rounded to 8 bits."""
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCKS
    element = (first + tl.arange(0, BLOCKS))[:, None] * 32 + tl.arange(0, 32)[None, :]
    value = tl.load(source + row * row_stride + element, mask=element < blocks * 32, other=0.0).to(tl.float32)
    store_rounded(
        x + row * blocks * 32,
        x_scales + row * blocks,
        x_sums + row * blocks * 2,
        value,
        first,
        blocks,
        BLOCKS,
    )

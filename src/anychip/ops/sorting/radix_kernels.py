"""The kernels of sorting by digits of a key."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def ordered_key(value, DESCENDING: tl.constexpr):
    """An integer whose unsigned order is that of `value`: zeros of both signs are equal, NaN is last."""
    WIDTH: tl.constexpr = tl.constexpr(max(value.dtype.primitive_bitwidth, 8))
    if value.dtype.is_floating():
        value = tl.where(value == 0, 0.0, value)
        value = tl.where(value != value, float("nan"), value)
        if WIDTH == 64:
            bits = value.to(tl.int64, bitcast=True)
            key = bits ^ ((bits >> 63) | (-9223372036854775807 - 1))
        elif WIDTH == 32:
            bits = value.to(tl.int32, bitcast=True).to(tl.int64)
            key = (bits ^ ((bits >> 63) & 0x7FFFFFFF)) + 0x80000000
        else:
            bits = value.to(tl.int16, bitcast=True).to(tl.int64)
            key = (bits ^ ((bits >> 63) & 0x7FFF)) + 0x8000
    else:
        key = value.to(tl.int64)
        if value.dtype.is_int_signed() and value.dtype != tl.int1:
            if WIDTH == 64:
                key = key ^ (-9223372036854775807 - 1)
            else:
                key = key + (1 << (WIDTH - 1))
    if DESCENDING:
        if WIDTH == 64:
            key = ~key
        else:
            key = ((1 << WIDTH) - 1) - key
    return key


@triton.jit
def digit_of(word, SHIFT: tl.constexpr, BITS: tl.constexpr):
    """BITS bits of a word from bit SHIFT on."""
    return ((word.to(tl.uint64, bitcast=True) >> SHIFT) & ((1 << BITS) - 1)).to(tl.int32)


@triton.jit
def words_kernel(
    words, carried, source, rows, n, WIDE: tl.constexpr, DESCENDING: tl.constexpr, BLOCK: tl.constexpr
):
    """words[r, i] = key of source[r, i], with the index below it, or in `carried` if WIDE."""
    blocks = tl.cdiv(n, BLOCK)
    program = tl.program_id(0)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    at = (program // blocks).to(tl.int64) * n + lane
    mask = lane < n
    key = ordered_key(tl.load(source + at, mask=mask), DESCENDING)
    if WIDE:
        tl.store(carried + at, lane, mask=mask)
    else:
        key = (key << 32) | lane.to(tl.int64)
    tl.store(words + at, key, mask=mask)


@triton.jit
def picked_kernel(
    values, indices, words, carried, source, n, first, kept, WIDE: tl.constexpr, BLOCK: tl.constexpr
):
    """values[r, j] and indices[r, j] of the sorted element first + j of row r, for j < kept."""
    blocks = tl.cdiv(kept, BLOCK)
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < kept
    at = row * n + first + lane
    if WIDE:
        index = tl.load(carried + at, mask=mask, other=0).to(tl.int64)
    else:
        index = tl.load(words + at, mask=mask, other=0) & 0xFFFFFFFF
    if values is not None:
        value = tl.load(source + row * n + index, mask=mask)
        tl.store(values + row * kept + lane, value, mask=mask)
    tl.store(indices + row * kept + lane, index, mask=mask)


@triton.jit
def rank_rows_kernel(
    values,
    indices,
    source,
    rows,
    n,
    first,
    kept,
    DESCENDING: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Short rows: an element's place is the number of elements that come before it."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    lane = tl.arange(0, BLOCK_N)
    known = row < rows
    inside = known[:, None] & (lane < n)[None, :]
    at = source + row[:, None] * n + lane[None, :]
    value = tl.load(at, mask=inside)
    key = ordered_key(value, DESCENDING).to(tl.uint64, bitcast=True)
    rank = tl.zeros((BLOCK_R, BLOCK_N), tl.int32)
    for j in range(n):
        other = ordered_key(tl.load(source + row * n + j, mask=known), DESCENDING)
        other = other.to(tl.uint64, bitcast=True)[:, None]
        rank += ((other < key) | ((other == key) & (lane > j)[None, :])).to(tl.int32)
    chosen = inside & (rank >= first) & (rank < first + kept)
    to = row[:, None] * kept + rank - first
    if values is not None:
        tl.store(values + to, value, mask=chosen)
    tl.store(indices + to, tl.broadcast_to(lane.to(tl.int64)[None, :], (BLOCK_R, BLOCK_N)), mask=chosen)


@triton.jit
def sort_rows_kernel(
    values,
    indices,
    words,
    carried,
    table,
    source,
    rows,
    n,
    first,
    kept,
    PASSES: tl.constexpr,
    BITS: tl.constexpr,
    LOW: tl.constexpr,
    WIDE: tl.constexpr,
    DESCENDING: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Whole rows, one after another, in a program's own scratch memory: two rows of words (and carried
    indices if WIDE), and PASSES counts of digits. A digit that all keys share costs no pass."""
    RADIX: tl.constexpr = 1 << BITS
    program = tl.program_id(0).to(tl.int64)
    words += program * 2 * n
    if WIDE:
        carried += program * 2 * n
    table += program * PASSES * RADIX
    digits = tl.arange(0, RADIX)
    lane = tl.arange(0, BLOCK)
    for row in range(program, rows, tl.num_programs(0)):
        start = row * n
        for p in tl.static_range(PASSES):
            tl.store(table + p * RADIX + digits, tl.zeros((RADIX,), tl.int32))
        for block in range(0, n, BLOCK):
            place = block + lane
            mask = place < n
            key = ordered_key(tl.load(source + start + place, mask=mask), DESCENDING)
            if WIDE:
                tl.store(carried + place, place, mask=mask)
                tl.store(words + place, key, mask=mask)
            else:
                tl.store(words + place, (key << 32) | place.to(tl.int64), mask=mask)
        tl.debug_barrier()
        for i in range(n):
            word = tl.load(words + i)
            for p in tl.static_range(PASSES):
                slot = table + p * RADIX + digit_of(word, LOW + p * BITS, BITS)
                tl.store(slot, tl.load(slot) + 1)
            tl.debug_barrier()
        here = program * 0
        for p in tl.static_range(PASSES):
            counts = tl.load(table + p * RADIX + digits)
            tl.debug_barrier()
            if tl.max(counts, 0) < n:
                tl.store(table + p * RADIX + digits, tl.cumsum(counts, 0) - counts)
                tl.debug_barrier()
                there = n - here
                for i in range(n):
                    moved = tl.load(words + here + i)
                    place_at = table + p * RADIX + digit_of(moved, LOW + p * BITS, BITS)
                    to = tl.load(place_at)
                    tl.store(words + there + to, moved)
                    if WIDE:
                        tl.store(carried + there + to, tl.load(carried + here + i))
                    tl.debug_barrier()
                    tl.store(place_at, to + 1)
                    tl.debug_barrier()
                here = there
        for block in range(0, kept, BLOCK):
            column = block + lane
            inside = column < kept
            if WIDE:
                index = tl.load(carried + here + first + column, mask=inside, other=0).to(tl.int64)
            else:
                index = tl.load(words + here + first + column, mask=inside, other=0) & 0xFFFFFFFF
            if values is not None:
                value = tl.load(source + start + index, mask=inside)
                tl.store(values + row * kept + column, value, mask=inside)
            tl.store(indices + row * kept + column, index, mask=inside)
        tl.debug_barrier()


@triton.jit
def count_kernel(
    table, words, n, chunk, chunks, SHIFT: tl.constexpr, BITS: tl.constexpr, BLOCK: tl.constexpr
):
    """table[r, digit, c] = how often a digit occurs in chunk c of row r (zero before)."""
    RADIX: tl.constexpr = 1 << BITS
    program = tl.program_id(0)
    row = (program // chunks).to(tl.int64)
    part = program % chunks
    start = part.to(tl.int64) * chunk
    stop = tl.minimum(start + chunk, n)
    words += row * n
    table += row * RADIX * chunks + part
    if BLOCK == 1:
        for i in range(start, stop):
            slot = table + digit_of(tl.load(words + i), SHIFT, BITS) * chunks
            tl.store(slot, tl.load(slot) + 1)
            tl.debug_barrier()
    else:
        digits = tl.arange(0, RADIX)
        counts = tl.zeros((RADIX,), tl.int32)
        for block in range(start, stop, BLOCK):
            place = block + tl.arange(0, BLOCK)
            mask = place < stop
            digit = digit_of(tl.load(words + place, mask=mask, other=0), SHIFT, BITS)
            same = (digit[:, None] == digits[None, :]) & mask[:, None]
            counts += tl.sum(same.to(tl.int32), 0)
        tl.store(table + digits * chunks, counts)


@triton.jit
def offsets_kernel(table, length, BLOCK: tl.constexpr):
    """Each row's counts, digit by digit and chunk by chunk, become the places where they start."""
    table += tl.program_id(0).to(tl.int64) * length
    lane = tl.arange(0, BLOCK)
    total = tl.program_id(0) * 0
    for block in range(0, length, BLOCK):
        mask = block + lane < length
        counts = tl.load(table + block + lane, mask=mask, other=0)
        tl.store(table + block + lane, total + tl.cumsum(counts, 0) - counts, mask=mask)
        total += tl.sum(counts, 0)


@triton.jit
def scatter_kernel(
    sorted_words,
    sorted_carried,
    words,
    carried,
    table,
    n,
    chunk,
    chunks,
    SHIFT: tl.constexpr,
    BITS: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Each word to the place of its digit; a chunk's program keeps the order of its words."""
    RADIX: tl.constexpr = 1 << BITS
    program = tl.program_id(0)
    row = (program // chunks).to(tl.int64)
    part = program % chunks
    start = part.to(tl.int64) * chunk
    stop = tl.minimum(start + chunk, n)
    words += row * n
    sorted_words += row * n
    if WIDE:
        carried += row * n
        sorted_carried += row * n
    table += row * RADIX * chunks + part
    if BLOCK == 1:
        for i in range(start, stop):
            word = tl.load(words + i)
            slot = table + digit_of(word, SHIFT, BITS) * chunks
            to = tl.load(slot)
            tl.store(sorted_words + to, word)
            if WIDE:
                tl.store(sorted_carried + to, tl.load(carried + i))
            tl.debug_barrier()
            tl.store(slot, to + 1)
            tl.debug_barrier()
    else:
        digits = tl.arange(0, RADIX)
        places = tl.load(table + digits * chunks)
        for block in range(start, stop, BLOCK):
            place = block + tl.arange(0, BLOCK)
            mask = place < stop
            moved = tl.load(words + place, mask=mask, other=0)
            digit = digit_of(moved, SHIFT, BITS)
            same = ((digit[:, None] == digits[None, :]) & mask[:, None]).to(tl.int32)
            rank = tl.cumsum(same, 0) - 1 + places[None, :]
            target = tl.sum(same * rank, 1)
            tl.store(sorted_words + target, moved, mask=mask)
            if WIDE:
                tl.store(sorted_carried + target, tl.load(carried + place, mask=mask), mask=mask)
            places += tl.sum(same, 0)

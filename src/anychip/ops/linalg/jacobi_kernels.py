"""The kernels of Jacobi rotations."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def symmetric_kernel(
    work, plain, a, n, batch_stride, row_stride, column_stride, UPPER: tl.constexpr, BLOCK: tl.constexpr
):
    """plain = the symmetric matrix whose lower (or upper) triangle is in `a`; work = the same with its
    largest sum of absolute values of a row added to the diagonal."""
    batch = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    a += batch * batch_stride
    work += batch * n * n
    plain += batch * n * n
    largest = tl.sum(tl.zeros((BLOCK,), tl.float64), 0)
    for i in range(n):
        total = tl.zeros((BLOCK,), tl.float64)
        for start in range(0, n, BLOCK):
            j = start + lane
            low = tl.minimum(i, j).to(tl.int64)
            high = tl.maximum(i, j).to(tl.int64)
            at = high * row_stride + low * column_stride
            if UPPER:
                at = low * row_stride + high * column_stride
            value = tl.load(a + at, mask=j < n, other=0).to(tl.float64)
            tl.store(work + i.to(tl.int64) * n + j, value, mask=j < n)
            tl.store(plain + i.to(tl.int64) * n + j, value, mask=j < n)
            total += tl.abs(value)
        size = tl.sum(total, 0)
        largest = tl.where(size == size, tl.maximum(largest, size), size)
    tl.debug_barrier()
    for start in range(0, n, BLOCK):
        j = (start + lane).to(tl.int64)
        value = tl.load(work + j * (n + 1), mask=j < n, other=0)
        tl.debug_barrier()
        tl.store(work + j * (n + 1), value + largest, mask=j < n)


@triton.jit
def rotations_kernel(
    work,
    vectors,
    count,
    length,
    limit,
    tolerance,
    VECTORS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """Rotate pairs of the rows work[batch] [count, length] until all are orthogonal to each other, and
    the rows of vectors[batch] [count, count] with them."""
    batch = tl.program_id(0).to(tl.int64)
    work += batch * count * length
    vectors += batch * count * count
    lane = tl.arange(0, BLOCK)
    lane_v = tl.arange(0, BLOCK_V)
    sweep = count * 0
    rotated = count * 0 + 1
    while (rotated > 0) & (sweep < limit):
        rotated = rotated * 0
        sweep += 1
        for p in range(count - 1):
            at_p = work + p.to(tl.int64) * length
            for q in range(p + 1, count):
                at_q = work + q.to(tl.int64) * length
                first = tl.zeros((BLOCK,), tl.float64)
                second = tl.zeros((BLOCK,), tl.float64)
                both = tl.zeros((BLOCK,), tl.float64)
                for start in range(0, length, BLOCK):
                    inside = start + lane < length
                    x = tl.load(at_p + start + lane, mask=inside, other=0)
                    y = tl.load(at_q + start + lane, mask=inside, other=0)
                    first += x * x
                    second += y * y
                    both += x * y
                alpha = tl.sum(first, 0)
                beta = tl.sum(second, 0)
                gamma = tl.sum(both, 0)
                if tl.abs(gamma) > tolerance * tl.sqrt(alpha) * tl.sqrt(beta):
                    rotated += 1
                    zeta = (beta - alpha) / (2.0 * gamma)
                    size = 1.0 / (tl.abs(zeta) + tl.sqrt(1.0 + zeta * zeta))
                    t = tl.where(zeta < 0, -size, size)
                    c = 1.0 / tl.sqrt(1.0 + t * t)
                    s = c * t
                    # Rutishauser's form: what rounding takes from a rotation's length goes to zero with s.
                    tau = s / (1.0 + c)
                    for start in range(0, length, BLOCK):
                        inside = start + lane < length
                        x = tl.load(at_p + start + lane, mask=inside, other=0)
                        y = tl.load(at_q + start + lane, mask=inside, other=0)
                        tl.debug_barrier()
                        tl.store(at_p + start + lane, x - s * (y + tau * x), mask=inside)
                        tl.store(at_q + start + lane, y + s * (x - tau * y), mask=inside)
                    if VECTORS:
                        v_p = vectors + p.to(tl.int64) * count
                        v_q = vectors + q.to(tl.int64) * count
                        for start in range(0, count, BLOCK_V):
                            inside = start + lane_v < count
                            x = tl.load(v_p + start + lane_v, mask=inside, other=0)
                            y = tl.load(v_q + start + lane_v, mask=inside, other=0)
                            tl.debug_barrier()
                            tl.store(v_p + start + lane_v, x - s * (y + tau * x), mask=inside)
                            tl.store(v_q + start + lane_v, y + s * (x - tau * y), mask=inside)
                    tl.debug_barrier()


@triton.jit
def sizes_kernel(sizes, work, count, length, BLOCK: tl.constexpr):
    """sizes[batch, i] = the length of row i of `work` [count, length]."""
    row = tl.program_id(0).to(tl.int64) * length
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, length, BLOCK):
        x = tl.load(work + row + start + lane, mask=start + lane < length, other=0)
        total += x * x
    tl.store(sizes + tl.program_id(0), tl.sqrt(tl.sum(total, 0)))


@triton.jit
def quotient_kernel(sizes, plain, vectors, count, BLOCK: tl.constexpr):
    """sizes[batch, i] = the Rayleigh quotient of row i of `vectors` and the symmetric matrix `plain`
    [count, count]: exact to the square of the vector's own error."""
    batch = (tl.program_id(0) // count).to(tl.int64)
    v = vectors + tl.program_id(0).to(tl.int64) * count
    plain += batch * count * count
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float64)
    square = tl.zeros((BLOCK,), tl.float64)
    for j in range(count):
        row = plain + j.to(tl.int64) * count
        factor = tl.load(v + j)
        for start in range(0, count, BLOCK):
            inside = start + lane < count
            x = tl.load(v + start + lane, mask=inside, other=0)
            total += factor * (tl.load(row + start + lane, mask=inside, other=0) * x)
    for start in range(0, count, BLOCK):
        x = tl.load(v + start + lane, mask=start + lane < count, other=0)
        square += x * x
    tl.store(sizes + tl.program_id(0), tl.sum(total, 0) / tl.sum(square, 0))


@triton.jit
def order_kernel(
    values,
    rows,
    other_rows,
    sizes,
    work,
    vectors,
    count,
    length,
    width,
    rows_batch,
    rows_row,
    rows_column,
    other_batch,
    other_row,
    other_column,
    DESCENDING: tl.constexpr,
    ROWS: tl.constexpr,
    OTHER: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program (batch, i) finds the rank of sizes[batch, i] and puts it, row i of `work` [count, length] and
    row i of `vectors` [count, width] in that place of the outputs."""
    batch = (tl.program_id(0) // count).to(tl.int64)
    i = tl.program_id(0) % count
    sizes += batch * count
    mine = tl.load(sizes + i)
    lane = tl.arange(0, BLOCK)
    before = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, count, BLOCK):
        j = start + lane
        theirs = tl.load(sizes + j, mask=j < count, other=0)
        first = theirs < mine
        if DESCENDING:
            first = theirs > mine
        before += ((first | ((theirs == mine) & (j < i))) & (j < count)).to(tl.int32)
    rank = tl.sum(before, 0).to(tl.int64)
    if mine != mine:
        rank = i.to(tl.int64)
    tl.store(values + batch * count + rank, mine.to(values.dtype.element_ty))
    if ROWS:
        for start in range(0, length, BLOCK):
            j = (start + lane).to(tl.int64)
            value = tl.load(work + (batch * count + i) * length + j, mask=j < length, other=0)
            at = rows + batch * rows_batch + rank * rows_row + j * rows_column
            tl.store(at, value.to(rows.dtype.element_ty), mask=j < length)
    if OTHER:
        for start in range(0, width, BLOCK):
            j = (start + lane).to(tl.int64)
            value = tl.load(vectors + (batch * count + i) * width + j, mask=j < width, other=0)
            at = other_rows + batch * other_batch + rank * other_row + j * other_column
            tl.store(at, value.to(other_rows.dtype.element_ty), mask=j < width)


@triton.jit
def sign_kernel(q, r, rows, q_batch, q_row, q_column, r_batch, r_diagonal, BLOCK: tl.constexpr):
    """Columns of q whose diagonal element of r is negative change sign."""
    batch = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0).to(tl.int64)
    pivot = tl.load(r + batch * r_batch + column * r_diagonal)
    lane = tl.arange(0, BLOCK)
    if pivot < 0:
        for start in range(0, rows, BLOCK):
            at = q + batch * q_batch + column * q_column + (start + lane).to(tl.int64) * q_row
            tl.store(at, -tl.load(at, mask=start + lane < rows), mask=start + lane < rows)

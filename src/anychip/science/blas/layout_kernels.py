"""Kernels of products with, updates of, and solutions with a matrix in any layout of BLAS (`layout.py`). A
complex number is two numbers, one after the other; sums are taken in the type ACCUMULATE."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct


@triton.jit
def parts(source, at, mask, COMPLEX, ACCUMULATE):
    """The real and the imaginary parts of elements; zeros where masked, or for real ones."""
    if COMPLEX:
        real = tl.load(source + 2 * at, mask=mask, other=0).to(ACCUMULATE)
        imaginary = tl.load(source + 2 * at + 1, mask=mask, other=0).to(ACCUMULATE)
    else:
        real = tl.load(source + at, mask=mask, other=0).to(ACCUMULATE)
        imaginary = tl.zeros_like(real)
    return real, imaginary


@triton.jit
def element(
    a, i, j, inside, offset, row, column, curve, below, above, COMPLEX, MIRROR, UNIT, CONJUGATE, ACCUMULATE
):
    """Both parts of elements (i, j) of a matrix."""
    p = i
    q = j
    other = inside
    if MIRROR > 0:
        other = (i - j > below) | (j - i > above)
        p = tl.where(other, j, i)
        q = tl.where(other, i, j)
    stored = inside & (p - q <= below) & (q - p <= above)
    if UNIT:
        stored = stored & (i != j)
    at = offset + p * row + q * column + curve * ((q * (q + 1)) // 2)
    real, imaginary = parts(a, at, stored, COMPLEX, ACCUMULATE)
    if COMPLEX:
        if MIRROR == 2:
            imaginary = tl.where(i == j, 0.0, tl.where(other, -imaginary, imaginary))
        if CONJUGATE:
            imaginary = -imaginary
    if UNIT:
        real = tl.where(inside & (i == j), 1.0, real)
    return real, imaginary


SIZES = ["rows", "columns", "offset", "curve", "below", "above", "before", "after"]


@triton.jit(do_not_specialize=SIZES)
def stored_product_kernel(
    out, a, x, rows, columns, offset, row, column, curve, below, above, before, after,
    COMPLEX: tl.constexpr, MIRROR: tl.constexpr, UNIT: tl.constexpr, TURNED: tl.constexpr,
    CONJUGATE: tl.constexpr, ACCUMULATE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out [rows] = the matrix (TURNED: transposed), [rows, columns], times x. A program takes ROWS rows,
    which have elements from `before` columns before to `after` columns after the diagonal."""
    distinct(out, a)
    distinct(out, x)
    first = tl.program_id(0).to(tl.int64) * ROWS
    r = first + tl.arange(0, ROWS)
    real = tl.zeros((ROWS, BLOCK), ACCUMULATE)
    imaginary = tl.zeros((ROWS, BLOCK), ACCUMULATE)
    start = tl.maximum(first - before, 0)
    stop = tl.minimum(first + ROWS + after, columns)
    for at in range(start, stop, BLOCK):
        c = at + tl.arange(0, BLOCK).to(tl.int64)
        inside = (r < rows)[:, None] & (c < columns)[None, :]
        i = r[:, None] + tl.zeros_like(c)[None, :]
        j = tl.zeros_like(r)[:, None] + c[None, :]
        if TURNED:
            m, n = element(a, j, i, inside, offset, row, column, curve, below, above,
                           COMPLEX, MIRROR, UNIT, CONJUGATE, ACCUMULATE)  # fmt: skip
        else:
            m, n = element(a, i, j, inside, offset, row, column, curve, below, above,
                           COMPLEX, MIRROR, UNIT, CONJUGATE, ACCUMULATE)  # fmt: skip
        u, v = parts(x, c, c < columns, COMPLEX, ACCUMULATE)
        zero = (j - i > after) | (i - j > before) | (inside == 0)
        if COMPLEX:
            real += tl.where(zero, 0.0, m * u[None, :] - n * v[None, :])
            imaginary += tl.where(zero, 0.0, m * v[None, :] + n * u[None, :])
        else:
            real += tl.where(zero, 0.0, m * u[None, :])
    if COMPLEX:
        tl.store(out + 2 * r, tl.sum(real, 1), mask=r < rows)
        tl.store(out + 2 * r + 1, tl.sum(imaginary, 1), mask=r < rows)
    else:
        tl.store(out + r, tl.sum(real, 1), mask=r < rows)


@triton.jit(do_not_specialize=SIZES)
def stored_update_kernel(
    out, u, v, w, z, rows, columns, offset, row, column, curve, below, above, before, after,
    COMPLEX: tl.constexpr, UNIT: tl.constexpr, TWO: tl.constexpr, ONE_ON_DIAGONAL: tl.constexpr,
    REAL_DIAGONAL: tl.constexpr, ACCUMULATE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Stored elements (i, j) += u[i] v[j], with TWO also w[i] z[j] (not on the diagonal if ONE_ON_DIAGONAL).
    With REAL_DIAGONAL the diagonal's imaginary parts become zero. A program takes ROWS rows."""
    distinct(out, u)
    distinct(out, v)
    if TWO:
        distinct(out, w)
        distinct(out, z)
    first = tl.program_id(0).to(tl.int64) * ROWS
    r = first + tl.arange(0, ROWS)
    ur, ui = parts(u, r, r < rows, COMPLEX, ACCUMULATE)
    wr = ur
    wi = ui
    if TWO:
        wr, wi = parts(w, r, r < rows, COMPLEX, ACCUMULATE)
    start = tl.maximum(first - before, 0)
    stop = tl.minimum(first + ROWS + after, columns)
    for at in range(start, stop, BLOCK):
        c = at + tl.arange(0, BLOCK).to(tl.int64)
        vr, vi = parts(v, c, c < columns, COMPLEX, ACCUMULATE)
        i = r[:, None] + tl.zeros_like(c)[None, :]
        j = tl.zeros_like(r)[:, None] + c[None, :]
        stored = (r < rows)[:, None] & (c < columns)[None, :] & (i - j <= below) & (j - i <= above)
        if UNIT:
            stored = stored & (i != j)
        place = offset + i * row + j * column + curve * ((j * (j + 1)) // 2)
        real, imaginary = parts(out, place, stored, COMPLEX, ACCUMULATE)
        real += ur[:, None] * vr[None, :] - ui[:, None] * vi[None, :]
        if COMPLEX:
            imaginary += ur[:, None] * vi[None, :] + ui[:, None] * vr[None, :]
        if TWO:
            zr, zi = parts(z, c, c < columns, COMPLEX, ACCUMULATE)
            more = wr[:, None] * zr[None, :] - wi[:, None] * zi[None, :]
            if ONE_ON_DIAGONAL:
                more = tl.where(i == j, 0.0, more)
            real += more
            if COMPLEX:
                more = wr[:, None] * zi[None, :] + wi[:, None] * zr[None, :]
                if ONE_ON_DIAGONAL:
                    more = tl.where(i == j, 0.0, more)
                imaginary += more
        if COMPLEX:
            if REAL_DIAGONAL:
                imaginary = tl.where(i == j, 0.0, imaginary)
            tl.store(out + 2 * place, real, mask=stored)
            tl.store(out + 2 * place + 1, imaginary, mask=stored)
        else:
            tl.store(out + place, real, mask=stored)


@triton.jit(do_not_specialize=["n", "offset", "curve", "below", "above", "reach"])
def stored_solve_kernel(
    x, a, n, offset, row, column, curve, below, above, reach,
    COMPLEX: tl.constexpr, UNIT: tl.constexpr, TURNED: tl.constexpr, CONJUGATE: tl.constexpr,
    UPWARDS: tl.constexpr, ACCUMULATE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each row of x [programs, n] becomes the solution of a triangular matrix (TURNED: transposed) with it on
    the right, element after element, UPWARDS from the last; a row of the matrix has elements up to `reach`
    columns from its diagonal."""
    distinct(x, a)
    x += tl.program_id(0).to(tl.int64) * n * (2 if COMPLEX else 1)
    zero = tl.zeros((), tl.int64)
    for k in range(n):
        if UPWARDS:
            r = zero + n - 1 - k
            start = r + 1
            stop = tl.minimum(r + reach + 1, n)
        else:
            r = zero + k
            start = tl.maximum(r - reach, 0)
            stop = r
        real = tl.zeros((BLOCK,), ACCUMULATE)
        imaginary = tl.zeros((BLOCK,), ACCUMULATE)
        for at in range(start, stop, BLOCK):
            c = at + tl.arange(0, BLOCK).to(tl.int64)
            inside = c < stop
            i = r + tl.zeros_like(c)
            if TURNED:
                m, o = element(a, c, i, inside, offset, row, column, curve, below, above,
                               COMPLEX, 0, False, CONJUGATE, ACCUMULATE)  # fmt: skip
            else:
                m, o = element(a, i, c, inside, offset, row, column, curve, below, above,
                               COMPLEX, 0, False, CONJUGATE, ACCUMULATE)  # fmt: skip
            u, v = parts(x, c, inside, COMPLEX, ACCUMULATE)
            real += m * u - o * v
            if COMPLEX:
                imaginary += m * v + o * u
        place = offset + r * row + r * column + curve * ((r * (r + 1)) // 2)
        if COMPLEX:
            p = tl.load(x + 2 * r).to(ACCUMULATE) - tl.sum(real, 0)
            q = tl.load(x + 2 * r + 1).to(ACCUMULATE) - tl.sum(imaginary, 0)
            if not UNIT:
                m = tl.load(a + 2 * place).to(ACCUMULATE)
                o = tl.load(a + 2 * place + 1).to(ACCUMULATE)
                if CONJUGATE:
                    o = -o
                # by the larger part first, so that no square overflows
                large = tl.abs(m) >= tl.abs(o)
                ratio = tl.where(large, o, m) / tl.where(large, m, o)
                below_line = tl.where(large, m + o * ratio, m * ratio + o)
                top = tl.where(large, p + q * ratio, p * ratio + q)
                side = tl.where(large, q - p * ratio, q * ratio - p)
                p = top / below_line
                q = side / below_line
            tl.store(x + 2 * r, p)
            tl.store(x + 2 * r + 1, q)
        else:
            p = tl.load(x + r).to(ACCUMULATE) - tl.sum(real, 0)
            if not UNIT:
                p = p / tl.load(a + place).to(ACCUMULATE)
            tl.store(x + r, p)
        tl.debug_barrier()

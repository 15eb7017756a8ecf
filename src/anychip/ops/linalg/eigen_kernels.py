"""The kernels of eigenvalues of general matrices."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

EPSILON = tl.constexpr(2.220446049250313e-16)
CONJUGATE = tl.constexpr(1e-8)
"""How near, for their size, the eigenvalues of a real matrix are that are taken for conjugates."""


@triton.jit
def hessenberg_kernel(h, i, z, y, v, n, BLOCK: tl.constexpr, VECTORS: tl.constexpr):
    """h + i i [batch, n, n] loses what is below its first subdiagonal, by reflectors from both sides; the
    transpose of their product goes into z + i y, which begin as the identity. v: [batch, 2, n]."""
    batch = tl.program_id(0).to(tl.int64)
    h += batch * n * n
    i += batch * n * n
    z += batch * n * n
    y += batch * n * n
    v += batch * 2 * n
    lane = tl.arange(0, BLOCK)
    for k in range(n - 2):
        below = (lane > k) & (lane < n)
        a = tl.load(h + lane * n + k, mask=below, other=0)
        b = tl.load(i + lane * n + k, mask=below, other=0)
        largest = tl.max(tl.maximum(tl.abs(a), tl.abs(b)), 0)
        rest = tl.max(tl.where(lane > k + 1, tl.maximum(tl.abs(a), tl.abs(b)), 0.0), 0)
        if rest > 0:
            a = a / largest
            b = b / largest
            size = tl.sqrt(tl.sum(a * a + b * b, 0))
            head_a = tl.sum(tl.where(lane == k + 1, a, 0.0), 0)
            head_b = tl.sum(tl.where(lane == k + 1, b, 0.0), 0)
            head = tl.sqrt(head_a * head_a + head_b * head_b)
            divisor = tl.where(head > 0, head, 1.0)
            a += tl.where(lane == k + 1, size * tl.where(head > 0, head_a / divisor, 1.0), 0.0)
            b += tl.where(lane == k + 1, size * head_b / divisor, 0.0)
            factor = 2.0 / tl.sum(a * a + b * b, 0)
            tl.store(v + lane, a, mask=lane < n)
            tl.store(v + n + lane, b, mask=lane < n)
            tl.debug_barrier()
            mask = lane < n
            c = tl.zeros((BLOCK,), tl.float64)
            d = tl.zeros((BLOCK,), tl.float64)
            for j in range(k + 1, n):
                x = tl.load(v + j)
                w = tl.load(v + n + j)
                e = tl.load(h + j * n + lane, mask=mask, other=0)
                f = tl.load(i + j * n + lane, mask=mask, other=0)
                c += x * e + w * f
                d += x * f - w * e
            for j in range(k + 1, n):
                x = tl.load(v + j) * factor
                w = tl.load(v + n + j) * factor
                e = tl.load(h + j * n + lane, mask=mask, other=0)
                f = tl.load(i + j * n + lane, mask=mask, other=0)
                tl.store(h + j * n + lane, e - (x * c - w * d), mask=mask)
                tl.store(i + j * n + lane, f - (x * d + w * c), mask=mask)
            tl.debug_barrier()
            for j in range(n):
                e = tl.load(h + j * n + lane, mask=mask, other=0)
                f = tl.load(i + j * n + lane, mask=mask, other=0)
                x = tl.sum(e * a - f * b, 0) * factor
                w = tl.sum(e * b + f * a, 0) * factor
                tl.store(h + j * n + lane, e - (x * a + w * b), mask=mask)
                tl.store(i + j * n + lane, f - (w * a - x * b), mask=mask)
            if VECTORS:
                c = tl.zeros((BLOCK,), tl.float64)
                d = tl.zeros((BLOCK,), tl.float64)
                for j in range(k + 1, n):
                    x = tl.load(v + j)
                    w = tl.load(v + n + j)
                    e = tl.load(z + j * n + lane, mask=mask, other=0)
                    f = tl.load(y + j * n + lane, mask=mask, other=0)
                    c += e * x - f * w
                    d += e * w + f * x
                for j in range(k + 1, n):
                    x = tl.load(v + j) * factor
                    w = tl.load(v + n + j) * factor
                    e = tl.load(z + j * n + lane, mask=mask, other=0)
                    f = tl.load(y + j * n + lane, mask=mask, other=0)
                    tl.store(z + j * n + lane, e - (c * x + d * w), mask=mask)
                    tl.store(y + j * n + lane, f - (d * x - c * w), mask=mask)
            tl.debug_barrier()


@triton.jit
def rotate_rows(h, i, first, second, c, s, t, mask):
    """Rows `first` and `second` become c first + (s + t i) second and c second - (s - t i) first."""
    a = tl.load(h + first, mask=mask, other=0)
    b = tl.load(i + first, mask=mask, other=0)
    e = tl.load(h + second, mask=mask, other=0)
    f = tl.load(i + second, mask=mask, other=0)
    tl.debug_barrier()
    tl.store(h + first, c * a + s * e - t * f, mask=mask)
    tl.store(i + first, c * b + s * f + t * e, mask=mask)
    tl.store(h + second, c * e - s * a - t * b, mask=mask)
    tl.store(i + second, c * f - s * b + t * a, mask=mask)


@triton.jit
def size_of(h, i, at):
    """|real part| + |imaginary part| of an element."""
    return tl.abs(tl.load(h + at)) + tl.abs(tl.load(i + at))


@triton.jit
def triangular_kernel(h, i, z, y, v, n, limit, BLOCK: tl.constexpr, VECTORS: tl.constexpr):
    """A Hessenberg matrix h + i i becomes upper triangular, by rotations that z + i y gets, too. v keeps the
    rotations of a step: cosines, and parts of sines, [batch, 3, n]."""
    batch = tl.program_id(0).to(tl.int64)
    h += batch * n * n
    i += batch * n * n
    z += batch * n * n
    y += batch * n * n
    v += batch * 3 * n
    lane = tl.arange(0, BLOCK)
    last = n - 1
    step = 0
    tries = 0
    while (last > 0) & (step < limit):
        step += 1
        low = last
        searching = 1
        while searching > 0:
            if low == 0:
                searching = 0
            else:
                at = low * n + low
                near = size_of(h, i, at) + size_of(h, i, at - n - 1)
                if size_of(h, i, at - 1) <= EPSILON * near:
                    tl.store(h + at - 1, 0.0)
                    tl.store(i + at - 1, 0.0)
                    searching = 0
                else:
                    low -= 1
        if low == last:
            last -= 1
            tries = 0
        else:
            tries += 1
            at = last * n + last
            d_real = tl.load(h + at)
            d_imaginary = tl.load(i + at)
            half_real = (tl.load(h + at - n - 1) - d_real) * 0.5
            half_imaginary = (tl.load(i + at - n - 1) - d_imaginary) * 0.5
            b_real = tl.load(h + at - n)
            b_imaginary = tl.load(i + at - n)
            c_real = tl.load(h + at - 1)
            c_imaginary = tl.load(i + at - 1)
            real = half_real * half_real - half_imaginary * half_imaginary
            real += b_real * c_real - b_imaginary * c_imaginary
            imaginary = 2.0 * half_real * half_imaginary + b_real * c_imaginary + b_imaginary * c_real
            size = libdevice.hypot(real, imaginary)
            root = tl.sqrt(0.5 * (size + tl.abs(real)))
            other = tl.where(root > 0, tl.abs(imaginary) / tl.where(root > 0, 2.0 * root, 1.0), 0.0)
            x = tl.where(real >= 0, root, other)
            w = tl.where(real >= 0, other, root)
            w = tl.where(imaginary < 0, -w, w)
            opposite = half_real * x + half_imaginary * w > 0
            x = half_real + tl.where(opposite, -x, x)
            w = half_imaginary + tl.where(opposite, -w, w)
            shift_real = d_real + x
            shift_imaginary = d_imaginary + w
            if tries % 10 == 0:
                shift_real = tl.abs(c_real) + d_real
                shift_imaginary = tl.abs(c_imaginary) + d_imaginary
            inside = (lane >= low) & (lane <= last)
            at = lane * (n + 1)
            tl.store(h + at, tl.load(h + at, mask=inside, other=0) - shift_real, mask=inside)
            tl.store(i + at, tl.load(i + at, mask=inside, other=0) - shift_imaginary, mask=inside)
            tl.debug_barrier()
            for k in range(low, last):
                a = tl.load(h + k * n + k)
                b = tl.load(i + k * n + k)
                e = tl.load(h + (k + 1) * n + k)
                f = tl.load(i + (k + 1) * n + k)
                length = libdevice.hypot(a, b)
                whole = libdevice.hypot(length, libdevice.hypot(e, f))
                divisor = tl.where(whole > 0, whole, 1.0)
                ready = length > 0
                phase_real = tl.where(ready, a / tl.where(ready, length, 1.0), 1.0)
                phase_imaginary = tl.where(ready, b / tl.where(ready, length, 1.0), 0.0)
                c = tl.where(whole > 0, length / divisor, 1.0)
                s = (phase_real * e + phase_imaginary * f) / divisor
                t = (phase_imaginary * e - phase_real * f) / divisor
                rotate_rows(h, i, k * n + lane, (k + 1) * n + lane, c, s, t, (lane >= k) & (lane < n))
                tl.store(v + k, c)
                tl.store(v + n + k, s)
                tl.store(v + 2 * n + k, t)
                tl.debug_barrier()
            for k in range(low, last):
                c = tl.load(v + k)
                s = tl.load(v + n + k)
                t = -tl.load(v + 2 * n + k)
                rotate_rows(h, i, lane * n + k, lane * n + k + 1, c, s, t, lane <= k + 1)
                if VECTORS:
                    rotate_rows(z, y, k * n + lane, (k + 1) * n + lane, c, s, t, lane < n)
                tl.debug_barrier()
            tl.store(h + at, tl.load(h + at, mask=inside, other=0) + shift_real, mask=inside)
            tl.store(i + at, tl.load(i + at, mask=inside, other=0) + shift_imaginary, mask=inside)
            tl.debug_barrier()


@triton.jit
def values_kernel(out, places, h, i, n, REAL: tl.constexpr, BLOCK: tl.constexpr):
    """The diagonal of a triangular matrix, and where each element goes. REAL: imaginary parts that are
    rounding alone are zero, and of conjugates side by side the one with the positive part comes first."""
    batch = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < n
    h += batch * n * n + lane * (n + 1)
    i += batch * n * n + lane * (n + 1)
    a = tl.load(h, mask=mask, other=0)
    b = tl.load(i, mask=mask, other=0)
    place = lane
    if REAL:
        size = tl.max(tl.abs(a) + tl.abs(b), 0)
        after = mask & (lane < n - 1)
        before = mask & (lane > 0)
        near = CONJUGATE * size
        a_next = tl.load(h + n + 1, mask=after, other=0)
        b_next = tl.load(i + n + 1, mask=after, other=0)
        a_last = tl.load(h - n - 1, mask=before, other=0)
        b_last = tl.load(i - n - 1, mask=before, other=0)
        up = (b < -near) & (tl.abs(a - a_next) + tl.abs(b + b_next) < near)
        down = (b > near) & (tl.abs(a - a_last) + tl.abs(b + b_last) < near)
        place = tl.where(after & up, lane + 1, tl.where(before & down, lane - 1, lane))
        b = tl.where(tl.abs(b) <= 32.0 * EPSILON * size, 0.0, b)
    tl.store(places + batch * n + lane, place, mask=mask)
    at = out + (batch * n + place) * 2
    tl.store(at, a.to(out.dtype.element_ty), mask=mask)
    tl.store(at + 1, b.to(out.dtype.element_ty), mask=mask)


@triton.jit
def vectors_kernel(
    out,
    values,
    places,
    h,
    i,
    z,
    y,
    x,
    n,
    vector_stride,
    element_stride,
    REAL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Eigenvector m of batch: that of the triangular matrix by substitution, times the transpose of z + i y;
    of length one, its largest element real. x: [batch, n, 2, n]. REAL: of real eigenvalues, real ones."""
    batch = (tl.program_id(0) // n).to(tl.int64)
    m = tl.program_id(0) % n
    place = tl.load(places + tl.program_id(0)).to(tl.int64)
    h += batch * n * n
    i += batch * n * n
    z += batch * n * n
    y += batch * n * n
    x += tl.program_id(0).to(tl.int64) * 2 * n
    lane = tl.arange(0, BLOCK)
    mask = lane < n
    own_real = tl.load(h + m * (n + 1))
    own_imaginary = tl.load(i + m * (n + 1))
    tl.store(x + lane, tl.where(lane == m, 1.0, 0.0), mask=mask)
    tl.store(x + n + lane, tl.zeros((BLOCK,), tl.float64), mask=mask)
    tl.debug_barrier()
    diagonal = tl.abs(tl.load(h + lane * (n + 1), mask=mask, other=0))
    diagonal += tl.abs(tl.load(i + lane * (n + 1), mask=mask, other=0))
    smallest = tl.maximum(EPSILON * tl.max(diagonal, 0), 1e-290)
    for step in range(m):
        row = m - 1 - step
        inside = (lane > row) & (lane <= m)
        a = tl.load(h + row * n + lane, mask=inside, other=0)
        b = tl.load(i + row * n + lane, mask=inside, other=0)
        e = tl.load(x + lane, mask=inside, other=0)
        f = tl.load(x + n + lane, mask=inside, other=0)
        real = tl.sum(a * e - b * f, 0)
        imaginary = tl.sum(a * f + b * e, 0)
        c = own_real - tl.load(h + row * (n + 1))
        d = own_imaginary - tl.load(i + row * (n + 1))
        c = tl.where(tl.abs(c) + tl.abs(d) < smallest, smallest, c)
        scale = 1.0 / tl.maximum(tl.abs(c), tl.abs(d))
        c = c * scale
        d = d * scale
        size = scale / (c * c + d * d)
        tl.store(x + row, (real * c + imaginary * d) * size)
        tl.store(x + n + row, (imaginary * c - real * d) * size)
        tl.debug_barrier()
    real = tl.zeros((BLOCK,), tl.float64)
    imaginary = tl.zeros((BLOCK,), tl.float64)
    for j in range(m + 1):
        e = tl.load(x + j)
        f = tl.load(x + n + j)
        a = tl.load(z + j * n + lane, mask=mask, other=0)
        b = tl.load(y + j * n + lane, mask=mask, other=0)
        real += a * e - b * f
        imaginary += a * f + b * e
    scale = tl.max(tl.maximum(tl.abs(real), tl.abs(imaginary)), 0)
    real = real / scale
    imaginary = imaginary / scale
    squares = real * real + imaginary * imaginary
    top = tl.max(squares, 0)
    chosen = tl.min(tl.where(squares == top, lane, n), 0)
    turn_real = tl.sum(tl.where(lane == chosen, real, 0.0), 0)
    turn_imaginary = tl.sum(tl.where(lane == chosen, imaginary, 0.0), 0)
    size = 1.0 / (tl.sqrt(tl.sum(squares, 0)) * tl.sqrt(top))
    first = (real * turn_real + imaginary * turn_imaginary) * size
    second = (imaginary * turn_real - real * turn_imaginary) * size
    second = tl.where(lane == chosen, 0.0, second)
    if REAL:
        if tl.load(values + (batch * n + place) * 2 + 1) == 0:
            second = second * 0.0
    at = out + (batch * n * n + place * vector_stride + lane * element_stride) * 2
    tl.store(at, first.to(out.dtype.element_ty), mask=mask)
    tl.store(at + 1, second.to(out.dtype.element_ty), mask=mask)

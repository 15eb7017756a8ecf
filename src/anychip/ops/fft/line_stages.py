"""The stages of a Fourier transform of lines: the first, those between, the last, and pairs of real lines."""

# ruff: noqa: RUF005 (Triton has no unpacking within a tuple)
from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from .butterflies import butterfly, woven

YES, NO, NOT_PAIRED = tl.constexpr(True), tl.constexpr(False), tl.constexpr(0)


@triton.constexpr_function
def radix_of(code: Any, stage: Any) -> Any:
    """The factor of a stage."""
    return (int(code) >> (5 * int(stage))) & 31


@triton.constexpr_function
def before_of(code: Any, stage: Any) -> Any:
    """The product of the factors before a stage."""
    product = 1
    for k in range(int(stage)):
        product *= (int(code) >> (5 * k)) & 31
    return product


@triton.constexpr_function
def table_of(code: Any, stage: Any, length: Any) -> Any:
    """Where a stage's twiddle factors begin: after `length` / before of each stage ahead of it."""
    start, before = 0, 1
    for k in range(int(stage)):
        start += int(length) // before
        before *= (int(code) >> (5 * k)) & 31
    return start


@triton.constexpr_function
def reach(size: Any, limit: Any) -> Any:
    """The power of two that holds `size` elements, at most `limit`."""
    return min(1 << max(0, int(size) - 1).bit_length(), int(limit))


@triton.jit
def pair(real, imaginary, offset, mirrored, k, w_real, w_imaginary, mask, known):
    """Element k of the spectrum of pairs (even element + i odd one), from elements k and half - k of a real
    signal's and w[k]. Imaginary parts of the signal's first and last element do not count."""
    a = tl.load(real + offset, mask=mask, other=0)
    c = tl.load(real + mirrored, mask=mask, other=0)
    d = tl.load(imaginary + offset, mask=mask & (k > 0), other=0)
    e = -tl.load(imaginary + mirrored, mask=mask & (k > 0), other=0)
    u = tl.load(w_real + k, mask=known, other=0)
    v = -tl.load(w_imaginary + k, mask=known, other=0)
    odd_real = (a - c) * u - (d - e) * v
    odd_imaginary = (a - c) * v + (d - e) * u
    return a + c - odd_imaginary, d + e + odd_real


@triton.jit
def laid_apart(
    real,
    imaginary,
    in_inner,
    in_step,
    inside_b,
    to_real,
    to_imaginary,
    COUNT: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """COUNT elements of a line into a work area, real and imaginary parts apart, where they can be read from
    both ends as vectors."""
    SIZE: tl.constexpr = reach(COUNT, BLOCK if WIDTH == 1 else BLOCK // WIDTH)
    for start in range(0, COUNT, SIZE):
        if WIDTH == 1:
            k = start + tl.arange(0, SIZE)
            mask = k < COUNT
            offset = k * in_step
            target = k
        else:
            k = (start + tl.arange(0, SIZE))[:, None]
            b = tl.arange(0, WIDTH)[None, :]
            mask = (k < COUNT) & inside_b[None, :]
            offset = k * in_step + b * in_inner
            target = k * WIDTH + b
        tl.store(to_real + target, tl.load(real + offset, mask=mask, other=0), mask=mask)
        tl.store(to_imaginary + target, tl.load(imaginary + offset, mask=mask, other=0), mask=mask)


@triton.jit
def first_stage(
    real,
    imaginary,
    in_inner,
    in_step,
    inside_b,
    to_real,
    to_imaginary,
    t_real,
    t_imaginary,
    w_real,
    w_imaginary,
    RADIX: tl.constexpr,
    REST: tl.constexpr,
    WIDTH: tl.constexpr,
    SPECTRA: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Element (k, p) of a line, [RADIX, REST], becomes (p, j) of the work area, times a twiddle factor.
    SPECTRA: the line is half the spectrum of a real signal, with its parts in each other's place, and its
    elements are first those of a spectrum of pairs."""
    SIZE: tl.constexpr = reach(REST, BLOCK)
    for start in range(0, REST, SIZE):
        p = start + tl.arange(0, SIZE)
        if WIDTH == 1:
            mask = p < REST
            offset = p * in_step
            across = 0
            place = p
            target = p * RADIX
        else:
            b = tl.arange(0, WIDTH)[None, :]
            mask = (p < REST)[:, None] & inside_b[None, :]
            offset = p[:, None] * in_step + b * in_inner
            across = b * in_inner
            place = p[:, None]
            target = place * (RADIX * WIDTH) + b
        x = ()
        y = ()
        for k in tl.static_range(RADIX):
            if SPECTRA:
                d, a = pair(
                    imaginary,
                    real,
                    offset + (k * REST) * in_step,
                    across + ((RADIX - k) * REST - place) * in_step,
                    place + k * REST,
                    w_real,
                    w_imaginary,
                    mask,
                    place < REST,
                )
                x = x + (a,)
                y = y + (d,)
            else:
                a = tl.load(real + offset + (k * REST) * in_step, mask=mask, other=0)
                x = x + (a,)
                if imaginary is None:
                    y = y + (tl.zeros_like(a),)
                else:
                    y = y + (tl.load(imaginary + offset + (k * REST) * in_step, mask=mask, other=0),)
        u, v = butterfly(x, y, RADIX)
        x = (u[0],)
        y = (v[0],)
        for j in tl.static_range(1, RADIX):
            c = tl.load(t_real + j * REST + place, mask=place < REST, other=0)
            s = tl.load(t_imaginary + j * REST + place, mask=place < REST, other=0)
            x = x + (u[j] * c - v[j] * s,)
            y = y + (u[j] * s + v[j] * c,)
        if WIDTH == 1 and RADIX & (RADIX - 1) == 0:
            at = start * RADIX + tl.arange(0, SIZE * RADIX)
            tl.store(to_real + at, woven(x, RADIX), mask=at < REST * RADIX)
            tl.store(to_imaginary + at, woven(y, RADIX), mask=at < REST * RADIX)
        else:
            for j in tl.static_range(RADIX):
                tl.store(to_real + target + j * WIDTH, x[j], mask=mask)
                tl.store(to_imaginary + target + j * WIDTH, y[j], mask=mask)


@triton.jit
def middle_stage(
    real,
    imaginary,
    to_real,
    to_imaginary,
    t_real,
    t_imaginary,
    RADIX: tl.constexpr,
    REST: tl.constexpr,
    RUN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Element (k, p, q) of a work area, [RADIX, REST, RUN], becomes (p, j, q) of the other one."""
    SIZE_Q: tl.constexpr = reach(RUN, BLOCK)
    SIZE_P: tl.constexpr = reach(REST, BLOCK // SIZE_Q)
    for start in range(0, REST, SIZE_P):
        p = (start + tl.arange(0, SIZE_P))[:, None]
        for run in range(0, RUN, SIZE_Q):
            q = (run + tl.arange(0, SIZE_Q))[None, :]
            mask = (p < REST) & (q < RUN)
            offset = p * RUN + q
            x = ()
            y = ()
            for k in tl.static_range(RADIX):
                x = x + (tl.load(real + offset + k * (REST * RUN), mask=mask, other=0),)
                y = y + (tl.load(imaginary + offset + k * (REST * RUN), mask=mask, other=0),)
            u, v = butterfly(x, y, RADIX)
            x = (u[0],)
            y = (v[0],)
            for j in tl.static_range(1, RADIX):
                c = tl.load(t_real + j * REST + p, mask=p < REST, other=0)
                s = tl.load(t_imaginary + j * REST + p, mask=p < REST, other=0)
                x = x + (u[j] * c - v[j] * s,)
                y = y + (u[j] * s + v[j] * c,)
            target = p * (RADIX * RUN) + q
            for j in tl.static_range(RADIX):
                tl.store(to_real + target + j * RUN, x[j], mask=mask)
                tl.store(to_imaginary + target + j * RUN, y[j], mask=mask)


@triton.jit
def last_stage(
    real,
    imaginary,
    out_real,
    out_imaginary,
    out_inner,
    out_step,
    inside_b,
    f_real,
    f_imaginary,
    f_inner,
    factor,
    RADIX: tl.constexpr,
    BEFORE: tl.constexpr,
    WIDTH: tl.constexpr,
    PAIRED: tl.constexpr,
    TURNED: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Element (k, q) of a work area, [RADIX, BEFORE], becomes (j, q) of a line. TURNED: times f[j, q] of
    [LENGTH, lines]. PAIRED: the two parts of an element lie side by side, the real (1) or the imaginary
    one (2) first, and so do elements."""
    SIZE: tl.constexpr = reach(BEFORE, BLOCK if WIDTH == 1 else BLOCK // WIDTH)
    for start in range(0, BEFORE, SIZE):
        q = start + tl.arange(0, SIZE)
        if WIDTH == 1:
            mask = q < BEFORE
            offset = q
            target = q * out_step
            turn = q * f_inner
        else:
            b = tl.arange(0, WIDTH)[None, :]
            mask = (q < BEFORE)[:, None] & inside_b[None, :]
            offset = q[:, None] * WIDTH + b
            target = q[:, None] * out_step + b * out_inner
            turn = q[:, None] * f_inner + b
        x = ()
        y = ()
        for k in tl.static_range(RADIX):
            x = x + (tl.load(real + offset + k * (BEFORE * WIDTH), mask=mask, other=0),)
            y = y + (tl.load(imaginary + offset + k * (BEFORE * WIDTH), mask=mask, other=0),)
        x, y = butterfly(x, y, RADIX)
        for j in tl.static_range(RADIX):
            u = x[j]
            v = y[j]
            if TURNED:
                c = tl.load(f_real + turn + (j * BEFORE) * f_inner, mask=mask, other=0)
                s = tl.load(f_imaginary + turn + (j * BEFORE) * f_inner, mask=mask, other=0)
                w = u * c - v * s
                v = u * s + v * c
                u = w
            if SCALED:
                u = u * factor
                v = v * factor
            if PAIRED == 0:
                tl.store(out_real + target + (j * BEFORE) * out_step, u, mask=mask)
                tl.store(out_imaginary + target + (j * BEFORE) * out_step, v, mask=mask)
            else:
                if PAIRED == 1:
                    pairs = tl.interleave(u, v)
                    base = out_real
                else:
                    pairs = tl.interleave(v, u)
                    base = out_imaginary
                if WIDTH == 1:
                    part = 2 * start + tl.arange(0, 2 * SIZE)
                    tl.store(base + (2 * j * BEFORE) + part, pairs, mask=part < 2 * BEFORE)
                else:
                    part = tl.arange(0, 2 * WIDTH)[None, :]
                    inside = tl.interleave(inside_b.to(tl.int8), inside_b.to(tl.int8)) != 0
                    tl.store(
                        base + (q + j * BEFORE)[:, None] * out_step + part,
                        pairs,
                        mask=(q < BEFORE)[:, None] & inside[None, :],
                    )


@triton.jit
def untangle(
    real,
    imaginary,
    out_real,
    out_imaginary,
    out_inner,
    out_step,
    inside_b,
    w_real,
    w_imaginary,
    factor,
    HALF: tl.constexpr,
    WIDTH: tl.constexpr,
    PAIRED: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Elements 0 to HALF of the spectra of real signals, from spectra [HALF, WIDTH] of their pairs: the parts
    of even and of odd elements, the latter times w[k]. WHOLE: the others, too, which mirror these."""
    SIZE: tl.constexpr = reach(HALF, BLOCK if WIDTH == 1 else BLOCK // WIDTH)
    for start in range(0, HALF, SIZE):
        if WIDTH == 1:
            k = start + tl.arange(0, SIZE)
            b = 0
            mask = k < HALF
        else:
            k = (start + tl.arange(0, SIZE))[:, None]
            b = tl.arange(0, WIDTH)[None, :]
            mask = (k < HALF) & inside_b[None, :]
        a = tl.load(real + k * WIDTH + b, mask=mask, other=0)
        d = tl.load(imaginary + k * WIDTH + b, mask=mask, other=0)
        c = tl.load(real + (HALF - k) * WIDTH + b, mask=mask & (k > 0), other=0)
        e = -tl.load(imaginary + (HALF - k) * WIDTH + b, mask=mask & (k > 0), other=0)
        c = tl.where(k == 0, a, c)
        e = tl.where(k == 0, -d, e)
        u = tl.load(w_real + k, mask=k < HALF, other=0)
        v = tl.load(w_imaginary + k, mask=k < HALF, other=0)
        odd_real = d - e
        odd_imaginary = c - a
        x = (a + c + odd_real * u - odd_imaginary * v) * (factor * 0.5)
        y = (d + e + odd_real * v + odd_imaginary * u) * (factor * 0.5)
        target = k * out_step + b * out_inner
        if PAIRED and WIDTH == 1:
            part = 2 * start + tl.arange(0, 2 * SIZE)
            tl.store(out_real + part, tl.interleave(x, y), mask=part < 2 * HALF)
        else:
            tl.store(out_real + target, x, mask=mask)
            tl.store(out_imaginary + target, y, mask=mask)
        if WHOLE:
            mirrored = (2 * HALF - k) * out_step + b * out_inner
            tl.store(out_real + mirrored, x, mask=mask & (k > 0))
            tl.store(out_imaginary + mirrored, -y, mask=mask & (k > 0))
    if WIDTH == 1:
        head = tl.load(real) - tl.load(imaginary)
        tl.store(out_real + HALF * out_step, head * factor)
        tl.store(out_imaginary + HALF * out_step, tl.zeros_like(head))
    else:
        b = tl.arange(0, WIDTH)
        head = tl.load(real + b) - tl.load(imaginary + b)
        tl.store(out_real + HALF * out_step + b * out_inner, head * factor, mask=inside_b)
        tl.store(out_imaginary + HALF * out_step + b * out_inner, tl.zeros_like(head), mask=inside_b)

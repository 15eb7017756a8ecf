"""A transform of one dimension as stages of small transforms, each a product with a small matrix (the
self-sorting method of Stockham, "High-speed convolution and correlation", 1966, for any factors). Flows
in: real and imaginary parts with strides. Flows out: the same of the transform."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import triton
import triton.language as tl

from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import Tiles, cdiv, launch, scalar_bits
from . import roots
from .signals import Signal, planar

TILES = Tiles(simt={"columns": 32}, simd={"columns": 64})
LARGEST_RADIX = 64
FEW_COLUMNS = 16
"""Stages with fewer columns than this in a transform take columns of several transforms together."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["batch", "scale"])
def stage_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    w_real,
    w_imaginary,
    t_real,
    t_imaginary,
    batch,
    length,
    rest,
    before,
    inner,
    in_outer,
    in_inner,
    in_step,
    out_outer,
    out_inner,
    out_step,
    stop,
    scale: tl.int64,
    RADIX: tl.constexpr,
    SIDE: tl.constexpr,
    HERMITIAN: tl.constexpr,
    LAST: tl.constexpr,
    TOGETHER: tl.constexpr,
    ALIGNED: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One stage: element (k, p, q) of [RADIX, rest, before] becomes (p, j, q) of [rest, RADIX, before],
    with a transform over k and, unless LAST, a twiddle factor. Column t = p * before + q.

    TOGETHER: a block has columns of several transforms; ALIGNED: all its columns have one p. Transform b
    starts at (b // inner) outer + (b % inner) inner. HERMITIAN: the upper half is the mirrored lower one.
    Only the first `stop` elements of a LAST stage's output are written.
    """
    columns = rest * before
    tiles = tl.cdiv(columns, BLOCK)
    lane = tl.arange(0, BLOCK)
    if TOGETHER:
        column = tl.program_id(0).to(tl.int64) * BLOCK + lane
        inside = column < batch.to(tl.int64) * columns
        number = column // columns
        t = column % columns
    else:
        number = (tl.program_id(0) // tiles).to(tl.int64)
        t = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + lane
        inside = t < columns
    k = tl.arange(0, SIDE).to(tl.int64)
    index = t[:, None] + (k * columns)[None, :]
    mask = inside[:, None] & (k < RADIX)[None, :]
    start = (number // inner) * in_outer + (number % inner) * in_inner
    mirrored = 2 * index > length
    if HERMITIAN:
        index = tl.where(mirrored, length - index, index)
    if TOGETHER:
        at = start[:, None] + index * in_step
    else:
        at = start + index * in_step
    x = tl.load(real + at, mask=mask, other=0)
    side = tl.arange(0, SIDE)
    at_w = side[:, None] * SIDE + side[None, :]
    w = tl.load(w_real + at_w)
    v = tl.load(w_imaginary + at_w)
    TYPE: tl.constexpr = w_real.dtype.element_ty
    y = tl.dot(x, w, input_precision="ieee", out_dtype=TYPE)
    z = tl.dot(x, v, input_precision="ieee", out_dtype=TYPE)
    if imaginary is not None:
        i = tl.load(imaginary + at, mask=mask, other=0)
        if HERMITIAN:
            i = tl.where(mirrored, -i, tl.where((index == 0) | (2 * index == length), 0.0, i)).to(TYPE)
        y -= tl.dot(i, v, input_precision="ieee", out_dtype=TYPE)
        z += tl.dot(i, w, input_precision="ieee", out_dtype=TYPE)
    if ALIGNED:
        p = ((tl.program_id(0) % tiles).to(tl.int64) * BLOCK) // before
        q = t - p * before
        target = (p * RADIX * before + q)[:, None] + (k * before)[None, :]
    else:
        p = t // before
        q = t % before
        target = (p * RADIX * before + q)[:, None] + (k * before)[None, :]
    if not LAST:
        if ALIGNED:
            at_t = (p * RADIX + k)[None, :]
            known = (k < RADIX)[None, :]
        else:
            at_t = (p * RADIX)[:, None] + k[None, :]
            known = mask
        c = tl.load(t_real + at_t, mask=known, other=0)
        s = tl.load(t_imaginary + at_t, mask=known, other=0)
        turned = y * c - z * s
        z = y * s + z * c
        y = turned
    if SCALED:
        factor = double(scale).to(TYPE)
        y = y * factor
        z = z * factor
    if LAST:
        mask = mask & (target < stop)
    begin = (number // inner) * out_outer + (number % inner) * out_inner
    if TOGETHER:
        target = begin[:, None] + target * out_step
    else:
        target = begin + target * out_step
    tl.store(out_real + target, y, mask=mask)
    if out_imaginary is not None:
        tl.store(out_imaginary + target, z, mask=mask)


# ---- factors --------------------------------------------------------------------------------------


def _cost(radix: int) -> int:
    return max(roots.SMALLEST_MATRIX, power_of_two(radix)) + 24


@lru_cache(maxsize=1024)
def radices(length: int) -> tuple[int, ...] | None:
    """Factors of `length`, each at most LARGEST_RADIX, with the least work; None if there are none."""
    if length <= LARGEST_RADIX:
        return (length,)
    best: tuple[int, tuple[int, ...]] | None = None
    for radix in range(2, LARGEST_RADIX + 1):
        if length % radix:
            continue
        others = radices(length // radix)
        if others is None:
            continue
        found = (radix, *others)
        cost = sum(_cost(r) for r in found)
        if best is None or cost < best[0]:
            best = (cost, found)
    return None if best is None else best[1]


# ---- transform ------------------------------------------------------------------------------------


def transform(
    out: Signal,
    source: Signal,
    batch: int,
    length: int,
    direction: int,
    scale: float = 1.0,
    hermitian: bool = False,
    stop: int | None = None,
) -> None:
    """out = scale times the transform of each of `batch` signals of a `length` that `radices` factors, with
    the kernel exp(direction 2 pi i j k / length); only the first `stop` elements if given."""
    factors = radices(length)
    assert factors is not None, length
    dtype, device = source.real.dtype, source.real.device
    budget = TILES.on(device)["columns"]
    before, rest = 1, length
    current = source
    for number, radix in enumerate(factors):
        rest //= radix
        last = number == len(factors) - 1
        target = out if last else planar(batch, length, source)
        columns = rest * before
        together = columns < FEW_COLUMNS
        count = batch * columns if together else columns
        block = max(16, min(power_of_two(count), budget))
        programs = cdiv(count, block) * (1 if together else batch)
        inner = target.inner if last else current.inner
        read, write = current.strides, target.strides
        table: tuple[Any, Any] = (None, None)
        if not last:
            table = roots.twiddles(rest, radix, direction, dtype, device)
        if last and number and target.inner != 1:
            read = (target.inner * length, length, 1)
        if not last and current.inner != 1:
            write = (current.inner * length, length, 1)
        launch(
            stage_kernel,
            programs,
            target.real,
            target.imaginary,
            current.real,
            current.imaginary,
            *roots.matrix(radix, direction, dtype, device),
            *table,
            batch,
            length,
            rest,
            before,
            inner,
            *read,
            *write,
            length if stop is None else stop,
            scalar_bits(scale, True),
            RADIX=radix,
            SIDE=max(roots.SMALLEST_MATRIX, power_of_two(radix)),
            HERMITIAN=hermitian and number == 0,
            LAST=last,
            TOGETHER=together,
            ALIGNED=not together and before % block == 0,
            SCALED=last and scale != 1,
            BLOCK=block,
        )
        before *= radix
        current = target

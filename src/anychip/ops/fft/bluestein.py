"""Transforms of lengths with a large prime factor, as a convolution with a chirp by transforms of a length
with small factors (Bluestein, "A linear filtering approach to the computation of discrete Fourier transform",
1970)."""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import Tiles, cdiv, launch, scalar_bits
from . import roots
from .lines import LONGEST, divided, factors, transform_divided, transform_lines, worthwhile
from .signals import Signal, planar
from .stages import transform

TILES = Tiles(simt={"block": 1024}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def spread_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    c_real,
    c_imaginary,
    length,
    width,
    inner,
    in_outer,
    in_inner,
    in_step,
    HERMITIAN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out [batch, width] = the signal times the chirp, and zeros from `length` on."""
    tiles = tl.cdiv(width, BLOCK)
    number = (tl.program_id(0) // tiles).to(tl.int64)
    target = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = target < length
    index = target
    if HERMITIAN:
        index = tl.where(2 * target > length, length - target, target)
    at = (number // inner) * in_outer + (number % inner) * in_inner + index * in_step
    x = tl.load(real + at, mask=inside, other=0)
    c = tl.load(c_real + target, mask=inside, other=0)
    s = tl.load(c_imaginary + target, mask=inside, other=0)
    y = x * c
    z = x * s
    if imaginary is not None:
        i = tl.load(imaginary + at, mask=inside, other=0)
        if HERMITIAN:
            i = tl.where(2 * target > length, -i, tl.where((target == 0) | (2 * target == length), 0.0, i))
        y -= i * s
        z += i * c
    tl.store(out_real + number * width + target, y.to(out_real.dtype.element_ty), mask=target < width)
    tl.store(out_imaginary + number * width + target, z.to(out_real.dtype.element_ty), mask=target < width)


@triton.jit
def wrap_kernel(out_real, out_imaginary, c_real, c_imaginary, length, width, BLOCK: tl.constexpr):
    """out[j] = out[width - j] = the conjugate chirp for 0 <= j < length; zeros between."""
    target = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    index = tl.minimum(target, width - target)
    inside = (target < width) & (index < length)
    tl.store(out_real + target, tl.load(c_real + index, mask=inside, other=0), mask=target < width)
    value = -tl.load(c_imaginary + index, mask=inside, other=0)
    tl.store(out_imaginary + target, value, mask=target < width)


@triton.jit
def multiply_kernel(real, imaginary, f_real, f_imaginary, width, BLOCK: tl.constexpr):
    """[batch, width] times [width], in place."""
    tiles = tl.cdiv(width, BLOCK)
    number = (tl.program_id(0) // tiles).to(tl.int64)
    target = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = target < width
    at = number * width + target
    x = tl.load(real + at, mask=inside)
    i = tl.load(imaginary + at, mask=inside)
    c = tl.load(f_real + target, mask=inside)
    s = tl.load(f_imaginary + target, mask=inside)
    tl.store(real + at, x * c - i * s, mask=inside)
    tl.store(imaginary + at, x * s + i * c, mask=inside)


@triton.jit(do_not_specialize=["scale"])
def gather_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    c_real,
    c_imaginary,
    stop,
    width,
    inner,
    out_outer,
    out_inner,
    out_step,
    scale: tl.int64,
    BLOCK: tl.constexpr,
):
    """out = scale times the chirp times the first `stop` elements of [batch, width]."""
    tiles = tl.cdiv(stop, BLOCK)
    number = (tl.program_id(0) // tiles).to(tl.int64)
    index = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < stop
    x = tl.load(real + number * width + index, mask=inside, other=0)
    i = tl.load(imaginary + number * width + index, mask=inside, other=0)
    factor = double(scale).to(out_real.dtype.element_ty)
    c = tl.load(c_real + index, mask=inside, other=0) * factor
    s = tl.load(c_imaginary + index, mask=inside, other=0) * factor
    at = (number // inner) * out_outer + (number % inner) * out_inner + index * out_step
    tl.store(out_real + at, x * c - i * s, mask=inside)
    if out_imaginary is not None:
        tl.store(out_imaginary + at, x * s + i * c, mask=inside)


# ---- transform ------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def convolved(length: int, many: bool) -> int:
    """The length of the convolution: where `lines` serve it, the least multiple of 16 that they have factors
    for, and else a power of two."""
    least = 2 * length - 1
    whole = power_of_two(least)
    if not many and whole <= LONGEST:
        return whole
    for width in range(-(-least // 16) * 16, whole, 16):
        if factors(width) is not None or divided(width) is not None:
            return width
    return whole


def _transform(out: Signal, source: Signal, batch: int, width: int, direction: int) -> None:
    """The transforms of `batch` lines one after the other."""
    if worthwhile(width, batch):
        transform_lines(out, source, batch, width, direction)
    elif divided(width) is not None:
        transform_divided(out, source, batch, width, direction)
    else:
        transform(out, source, batch, width, direction)


@lru_cache(maxsize=64)
def _filter(length: int, width: int, direction: int, dtype: torch.dtype, device: torch.device) -> Signal:
    """The transform of the conjugate chirp, wrapped around `width`."""
    parts = torch.empty((2, 1, width), dtype=dtype, device=device)
    wrapped = Signal(parts[0], parts[1], 1, width, 0, 1)
    block = TILES.on(device)["block"]
    launch(
        wrap_kernel,
        cdiv(width, block),
        parts[0],
        parts[1],
        *roots.chirp(length, direction, dtype, device),
        length,
        width,
        BLOCK=block,
    )
    result = planar(1, width, wrapped)
    _transform(result, wrapped, 1, width, -1)
    return result


def transform_by_chirp(
    out: Signal,
    source: Signal,
    batch: int,
    length: int,
    direction: int,
    scale: float,
    hermitian: bool,
    stop: int,
) -> None:
    """The same as `stages.transform`, for any length."""
    dtype, device = source.real.dtype, source.real.device
    width = convolved(length, worthwhile(power_of_two(2 * length - 1), batch))
    block = TILES.on(device)["block"]
    wave = roots.chirp(length, direction, dtype, device)
    response = _filter(length, width, direction, dtype, device)
    first, second = planar(batch, width, source), planar(batch, width, source)
    assert first.imaginary is not None
    assert second.imaginary is not None
    assert response.imaginary is not None
    launch(
        spread_kernel,
        batch * cdiv(width, block),
        first.real,
        first.imaginary,
        source.real,
        source.imaginary,
        *wave,
        length,
        width,
        source.inner,
        *source.strides,
        HERMITIAN=hermitian,
        BLOCK=block,
    )
    if worthwhile(width, batch):
        turns = response.real.view(-1), response.imaginary.view(-1)
        transform_lines(second, first, batch, width, -1, turns=turns)
    else:
        _transform(second, first, batch, width, -1)
        launch(
            multiply_kernel,
            batch * cdiv(width, block),
            second.real,
            second.imaginary,
            response.real,
            response.imaginary,
            width,
            BLOCK=block,
        )
    _transform(first, second, batch, width, 1)
    launch(
        gather_kernel,
        batch * cdiv(stop, block),
        out.real,
        out.imaginary,
        first.real,
        first.imaginary,
        *wave,
        stop,
        width,
        out.inner,
        *out.strides,
        scalar_bits(scale / width, True),
        BLOCK=block,
    )

"""Transforms between real signals of an even length and half spectra, by one complex transform of half the
length: even and odd elements are its real and imaginary parts (Cooley, Lewis and Welch, "The fast Fourier
transform algorithm: programming considerations", 1970)."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import Plan, Plans, Tiles, cdiv, scalar_bits
from . import roots
from .lines import GIVEN, WANTED, divided, factors, transform_divided, transform_lines, worthwhile
from .signals import Signal, planar_like

TILES = Tiles(simt={"elements": 512, "width": 32}, simd={"elements": 256, "width": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["scale"])
def spectrum_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    w_real,
    w_imaginary,
    half,
    inner,
    outer_stride,
    step,
    inner_stride,
    scale: tl.int64,
    PAIRED: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Elements 0 to half of a spectrum, from the transform [half, inner] of pairs: its parts that belong to
    even and to odd elements, the latter times w[k]. WHOLE: the others, too, which mirror these. PAIRED: lines
    of elements one after the other."""
    across = tl.cdiv(inner, WIDTH)
    along = tl.cdiv(half, BLOCK)
    program = tl.program_id(0)
    outer = (program // (across * along)).to(tl.int64)
    start = (program // across % along).to(tl.int64) * BLOCK
    if PAIRED:
        k = start + tl.arange(0, BLOCK)
        b = 0
        mask = k < half
    else:
        k = start + tl.arange(0, BLOCK)[:, None]
        b = (program % across).to(tl.int64) * WIDTH + tl.arange(0, WIDTH)[None, :]
        mask = (k < half) & (b < inner)
    at = outer * half * inner + b
    a = tl.load(real + at + k * inner, mask=mask, other=0)
    d = tl.load(imaginary + at + k * inner, mask=mask, other=0)
    c = tl.load(real + at + (half - k) * inner, mask=mask & (k > 0), other=0)
    e = -tl.load(imaginary + at + (half - k) * inner, mask=mask & (k > 0), other=0)
    c = tl.where(k == 0, a, c)
    e = tl.where(k == 0, -d, e)
    factor = double(scale).to(a.dtype)
    u = tl.load(w_real + k, mask=k < half, other=0)
    v = tl.load(w_imaginary + k, mask=k < half, other=0)
    odd_real = d - e
    odd_imaginary = c - a
    x = (a + c + odd_real * u - odd_imaginary * v) * (factor * 0.5)
    y = (d + e + odd_real * v + odd_imaginary * u) * (factor * 0.5)
    target = outer * outer_stride + b * inner_stride
    if PAIRED:
        part = 2 * start + tl.arange(0, 2 * BLOCK)
        tl.store(out_real + target + part, tl.interleave(x, y), mask=part < 2 * half)
    else:
        tl.store(out_real + target + k * step, x, mask=mask)
        tl.store(out_imaginary + target + k * step, y, mask=mask)
    if WHOLE:
        tl.store(out_real + target + (2 * half - k) * step, x, mask=mask & (k > 0))
        tl.store(out_imaginary + target + (2 * half - k) * step, -y, mask=mask & (k > 0))
    if start == 0:
        if PAIRED:
            head = tl.load(real + at) - tl.load(imaginary + at)
            tl.store(out_real + target + half * step, head * factor)
            tl.store(out_imaginary + target + half * step, tl.zeros_like(head))
        else:
            inside = b < inner
            head = tl.load(real + at, mask=inside) - tl.load(imaginary + at, mask=inside)
            tl.store(out_real + target + half * step, head * factor, mask=inside)
            tl.store(out_imaginary + target + half * step, tl.zeros_like(head), mask=inside)


@triton.jit
def pairs_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    w_real,
    w_imaginary,
    half,
    inner,
    outer_stride,
    step,
    inner_stride,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """The other way: the [half, inner] whose backward transform has a signal's even elements as real parts
    and its odd ones as imaginary parts. Imaginary parts of the first and the last element do not count."""
    across = tl.cdiv(inner, WIDTH)
    along = tl.cdiv(half, BLOCK)
    program = tl.program_id(0)
    outer = (program // (across * along)).to(tl.int64)
    k = (program // across % along).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)[:, None]
    b = (program % across).to(tl.int64) * WIDTH + tl.arange(0, WIDTH)[None, :]
    mask = (k < half) & (b < inner)
    at = outer * outer_stride + b * inner_stride
    a = tl.load(real + at + k * step, mask=mask, other=0)
    c = tl.load(real + at + (half - k) * step, mask=mask, other=0)
    d = tl.load(imaginary + at + k * step, mask=mask & (k > 0), other=0)
    e = -tl.load(imaginary + at + (half - k) * step, mask=mask & (k > 0), other=0)
    u = tl.load(w_real + k, mask=k < half, other=0)
    v = -tl.load(w_imaginary + k, mask=k < half, other=0)
    odd_real = (a - c) * u - (d - e) * v
    odd_imaginary = (a - c) * v + (d - e) * u
    target = outer * half * inner + k * inner + b
    tl.store(out_real + target, a + c - odd_imaginary, mask=mask)
    tl.store(out_imaginary + target, d + e + odd_real, mask=mask)


# ---- transform ------------------------------------------------------------------------------------

SPECTRA: Plans[Plan] = Plans()
PAIRS: Plans[Plan] = Plans()


def halves(length: int, batch: int, inner: int) -> bool:
    """Whether the functions below serve `batch` real signals of this length, `inner` next to each other."""
    if length % 2:
        return False
    return worthwhile(length // 2, batch) or (inner == 1 and divided(length // 2) is not None)


def _interleaved(x: torch.Tensor, length: int, inner: int) -> Signal:
    """A contiguous real tensor [outer, length, inner] as [outer, length / 2, inner] of pairs."""
    flat = x.view(-1)
    return Signal(flat, flat[inner:], inner, length * inner, 1, 2 * inner)


def _blocks(device: torch.device, inner: int, along: int, batch: int) -> tuple[int, dict[str, int]]:
    """Programs, and sizes of the blocks that they cover."""
    tiles = TILES.on(device)
    width = min(power_of_two(inner), tiles["width"])
    block = min(power_of_two(along), tiles["elements"] // width)
    return batch // inner * cdiv(along, block) * cdiv(inner, width), {"BLOCK": block, "WIDTH": width}


def spectrum(out: Signal, source: torch.Tensor, batch: int, length: int, scale: float, stop: int) -> None:
    """The first `stop` (length / 2 + 1, or all) elements of the spectra of `batch` real signals, contiguous
    [.., length, inner]."""
    half, inner = length // 2, out.inner
    pairs = _interleaved(source, length, inner)
    if factors(half) is not None:
        transform_lines(out, pairs, batch, half, -1, scale, spectra=WANTED, whole=stop == length)
        return
    work = planar_like(batch, half, inner, source)
    assert work.imaginary is not None
    transform_divided(work, pairs, batch, half, -1)
    key = (batch, length, inner, stop, out.strides, source.dtype, source.device)
    plan = SPECTRA.get(key)
    if plan is None:
        programs, blocks = _blocks(source.device, inner, half, batch)
        sizes = (half, inner, out.outer_stride, out.step, out.inner_stride)
        layout = {"PAIRED": inner == 1 and out.step == 2, "WHOLE": stop == length}
        plan = SPECTRA.remember(key, Plan(spectrum_kernel, programs, sizes, {**layout, **blocks}))
    w = roots.line(length, half + 1, source.dtype, source.device)
    numbers = (scalar_bits(scale, True),)
    plan.launch(out.real, out.imaginary, work.real, work.imaginary, *w, numbers=numbers)


def signal(out: torch.Tensor, source: Signal, batch: int, length: int, scale: float) -> None:
    """`batch` real signals, contiguous [.., length, inner], from the first length / 2 + 1 elements of their
    spectra."""
    half, inner = length // 2, source.inner
    pairs = _interleaved(out, length, inner)
    if factors(half) is not None:
        transform_lines(pairs, source, batch, half, 1, scale, spectra=GIVEN)
        return
    work = planar_like(batch, half, inner, out)
    assert work.imaginary is not None
    key = (batch, length, inner, source.strides, out.dtype, out.device)
    plan = PAIRS.get(key)
    if plan is None:
        programs, blocks = _blocks(out.device, inner, half, batch)
        sizes = (half, inner, source.outer_stride, source.step, source.inner_stride)
        plan = PAIRS.remember(key, Plan(pairs_kernel, programs, sizes, blocks))
    w = roots.line(length, half + 1, out.dtype, out.device)
    plan.launch(work.real, work.imaginary, source.real, source.imaginary, *w)
    transform_divided(pairs, work, batch, half, 1, scale)

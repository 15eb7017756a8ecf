"""Transforms of whole lines in one launch: a program takes line after line through all stages of the
self-sorting method (Stockham, "High-speed convolution and correlation", 1966), between two work areas
that stay in its cache. Lines next to each other in memory are taken in groups. Flows in and out: as in
`stages`. Each length is a kernel of its own, so that what is small goes through `stages`."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch

from ..iteration import power_of_two
from ..launching import Plan, Plans, Tiles, cdiv, scalar_bits
from . import roots
from .butterflies import RADICES
from .lines_kernels import lines_kernel
from .signals import Signal

TILES = Tiles(
    simt={"block": 128, "width": 8, "programs": 1024}, simd={"block": 16, "width": 16, "programs": 4}
)
"""`programs` on a vector machine is for each thread."""
SMALLEST_WORK = 1 << 13
"""Elements from which on a kernel for one length alone is worth the seconds that it takes to compile."""
SHORTEST, LONGEST = 20, 1 << 14
APART = 144
"""Numbers between parts of a work area, so that addresses that are used together differ in their last bits:
a processor takes equal ones for the same address while a store is on its way."""

NEITHER, WANTED, GIVEN = 0, 1, 2
"""Which spectra of real signals a transform of pairs has to do with (`transform_lines`)."""

# ---- factors and tables ------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def factors(length: int) -> tuple[int, ...] | None:
    """The stages of a length that `transform_lines` serves, in two or more; None for others. A four is first,
    as what it leaves is put in order by shuffles."""
    if not SHORTEST <= length <= LONGEST:
        return None
    found, rest = [], length
    for radix in RADICES:
        while rest % radix == 0:
            found.append(radix)
            rest //= radix
    if rest > 1 or len(found) < 2:
        return None
    return tuple(sorted(found, key=lambda radix: (radix != 4, radix)))


@lru_cache(maxsize=256)
def _tables(length: int, dtype: torch.dtype, device: torch.device) -> roots.Table:
    """Twiddle factors of all stages but the last, [radix, rest] each, one after the other."""
    listed = factors(length)
    assert listed is not None
    rest, tables = length, []
    for radix in listed[:-1]:
        rest //= radix
        tables.append((radix, rest))
    total = sum(radix * rest for radix, rest in tables)
    real = torch.empty(total, dtype=dtype, device=device)
    imaginary = torch.empty(total, dtype=dtype, device=device)
    start = 0
    for radix, rest in tables:
        stop = start + radix * rest
        roots.fill(real[start:stop], imaginary[start:stop], radix, rest, radix * rest, -1)
        start = stop
    return real, imaginary


# ---- transform ------------------------------------------------------------------------------------

PLANS: Plans[Plan] = Plans()


def transform_lines(
    out: Signal,
    source: Signal,
    batch: int,
    length: int,
    direction: int,
    scale: float = 1.0,
    turns: roots.Table | None = None,
    spectra: int = NEITHER,
    whole: bool = False,
) -> None:
    """out = scale times the transforms of `batch` lines of a `length` that `factors` serves, with the kernel
    exp(direction 2 pi i j k / length), times `turns` [length, out.inner] if given. A transform forward of
    parts that changed places is one backward.

    WANTED, forward: the lines are pairs of elements of real signals of twice the length, and out are the
    first length + 1 elements of these signals' spectra, or all if `whole`. GIVEN, backward: the other way."""
    listed = factors(length)
    assert listed is not None, length
    dtype, device = source.real.dtype, source.real.device
    parts = [out.real, out.imaginary, source.real, source.imaginary]
    forward = direction < 0
    if direction > 0:
        parts = [out.imaginary, out.real, source.imaginary, source.real]
    key = (
        length,
        batch,
        out.inner,
        source.strides,
        out.strides,
        turns is None,
        scale == 1,
        forward,
        dtype,
        device,
        parts[2] is None,
        parts[3] is None,
        torch.get_num_threads(),
        spectra,
        whole,
    )
    plan = PLANS.get(key)
    if plan is None:
        stages = _constants(out, length, direction, scale)
        nearest = source.step if stages["WIDTH"] == 1 else source.inner_stride
        stages.update(TURNED=turns is not None, SPECTRA=spectra, WHOLE=whole)
        stages["NEAREST"] = 2 if nearest == 2 else 0
        plan = PLANS.remember(key, _plan(out, source, batch, stages))
    areas = torch.empty((2, *plan.result), dtype=dtype, device=device)
    first, second = areas[0], areas[1]
    twiddles = _tables(length, dtype, device)
    table = twiddles if turns is None else turns
    if spectra != NEITHER:
        table = roots.line(2 * length, length + 1, dtype, device)
    plan.launch(*parts, first, second, *twiddles, *table, numbers=(scalar_bits(scale, True),))


def worthwhile(length: int, batch: int) -> bool:
    """Whether `batch` lines of a length are served here, and enough for a kernel of their own."""
    return batch * length >= SMALLEST_WORK and factors(length) is not None


@lru_cache(maxsize=1024)
def divided(length: int) -> tuple[int, int] | None:
    """Two factors of a length that is too long for one work area, as near to each other as may be."""
    if length <= LONGEST:
        return None
    for rows in range(math.isqrt(length), 1, -1):
        if length % rows == 0 and factors(rows) is not None and factors(length // rows) is not None:
            return rows, length // rows
    return None


def transform_divided(
    out: Signal, source: Signal, batch: int, length: int, direction: int, scale: float = 1.0
) -> None:
    """The same for lengths that are `divided`, of lines that do not lie next to each other: columns of a
    matrix, then its rows, which are written as columns (Bailey, "FFTs in external or hierarchical memory",
    1990)."""
    sizes = divided(length)
    assert sizes is not None, length
    rows, columns = sizes
    assert source.inner == 1, source
    dtype, device = source.real.dtype, source.real.device
    parts = torch.empty((2, batch * length), dtype=dtype, device=device)
    between = Signal(parts[0], parts[1], columns, length, 1, columns)
    across = Signal(
        source.real, source.imaginary, columns, source.outer_stride, source.step, source.step * columns
    )
    table = roots.turns(rows, columns, dtype, device)
    transform_lines(between, across, batch * columns, rows, direction, turns=table)
    along = Signal(parts[0], parts[1], rows, length, columns, 1)
    target = Signal(out.real, out.imaginary, rows, out.outer_stride, out.step, out.step * rows)
    transform_lines(target, along, batch * rows, columns, direction, scale)


def _constants(out: Signal, length: int, direction: int, scale: float) -> dict[str, Any]:
    """What a kernel is compiled for."""
    listed = factors(length)
    assert listed is not None
    tiles = TILES.on(out.real.device)
    width = 1 if out.inner == 1 else min(tiles["width"], power_of_two(out.inner))
    paired = 0
    nearest = out.step if width == 1 else out.inner_stride
    if nearest == 2 and out.imaginary is not None and _side_by_side(out):
        paired = 1 if direction < 0 else 2
    return {
        "LENGTH": length,
        "CODE": sum(radix << (5 * k) for k, radix in enumerate(listed)),
        "STAGES": len(listed),
        "WIDTH": width,
        "PAIRED": paired,
        "SCALED": scale != 1,
        "APART": APART,
        "BLOCK": tiles["block"],
    }


def _plan(out: Signal, source: Signal, batch: int, stages: dict[str, Any]) -> Plan:
    """The launch for these strides."""
    device, width = source.real.device, stages["WIDTH"]
    groups = batch // out.inner * cdiv(out.inner, width)
    programs = TILES.on(device)["programs"] * (torch.get_num_threads() if device.type == "cpu" else 1)
    programs = min(groups, programs)
    share = cdiv(groups, programs)
    programs = cdiv(groups, share)
    sizes = (groups, share, out.inner, *source.strides, *out.strides, out.inner)
    area = stages["LENGTH"] * width + APART
    return Plan(lines_kernel, programs, sizes, stages, result=(programs * 2 * area,))


def _side_by_side(x: Signal) -> bool:
    assert x.imaginary is not None
    return x.imaginary.data_ptr() - x.real.data_ptr() == x.real.element_size()

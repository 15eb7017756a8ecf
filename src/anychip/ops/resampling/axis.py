"""Resampling as linear maps along one axis after another, by the tables of `tables`, and nearest neighbours
along all axes at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..errors import NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, signature
from ..pooling.window import column_phases, tile_place
from .tables import NEAREST, Axis, Windows, windows

TILES = Tiles(simt={"elements": 256, "row": 64}, simd={"elements": 2048, "row": 128})
UNROLLED_TAPS = 8
LARGEST_STEP = 16
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def axis_kernel(
    out,
    source,
    first,
    number,
    weight,
    size,
    count,
    after,
    columns,
    TAPS: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_A: tl.constexpr,
):
    """out[b, o, a] = sum over k of weight[o, k] source[b, first[o] + k, a] for k below number[o]; the
    taps are unrolled if TAPS is not zero."""
    distinct(out, source)
    tiles_a = tl.cdiv(after, BLOCK_A)
    tiles_o = tl.cdiv(count, BLOCK_O)
    program = tl.program_id(0)
    a = (program % tiles_a) * BLOCK_A + tl.arange(0, BLOCK_A)
    rest = program // tiles_a
    o = (rest % tiles_o) * BLOCK_O + tl.arange(0, BLOCK_O)
    before = (rest // tiles_o).to(tl.int64)
    source += before * size * after
    out += before * count * after
    inside_o = o < count
    inside = inside_o[:, None] & (a < after)[None, :]
    start = tl.load(first + o, mask=inside_o, other=0)
    taps = tl.load(number + o, mask=inside_o, other=0)
    total = tl.zeros((BLOCK_O, BLOCK_A), COMPUTE)
    if TAPS > 0:
        for k in tl.static_range(TAPS):
            known = inside & (k < taps)[:, None]
            value = tl.load(source + ((start + k) * after)[:, None] + a[None, :], mask=known, other=0)
            value = value.to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * columns + k, mask=inside_o, other=0)[:, None].to(COMPUTE)
            total += value
    else:
        for k in range(columns):
            known = inside & (k < taps)[:, None]
            value = tl.load(source + ((start + k) * after)[:, None] + a[None, :], mask=known, other=0)
            value = value.to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * columns + k, mask=inside_o, other=0)[:, None].to(COMPUTE)
            total += value
    tl.store(out + (o * after)[:, None] + a[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def inner_axis_kernel(
    out,
    source,
    first,
    number,
    weight,
    size,
    count,
    rows,
    COLUMNS: tl.constexpr,
    UNROLL: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_O: tl.constexpr,
):
    """The map of `axis_kernel` along the innermost axis, for several rows of source at once."""
    distinct(out, source)
    tiles_o = tl.cdiv(count, BLOCK_O)
    row = (tl.program_id(0) // tiles_o).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    o = (tl.program_id(0) % tiles_o) * BLOCK_O + tl.arange(0, BLOCK_O)
    inside_o = o < count
    inside = (row < rows)[:, None] & inside_o[None, :]
    start = tl.load(first + o, mask=inside_o, other=0)
    taps = tl.load(number + o, mask=inside_o, other=0)
    total = tl.zeros((BLOCK_R, BLOCK_O), COMPUTE)
    source_row = source + (row * size)[:, None]
    if UNROLL:
        for k in tl.static_range(COLUMNS):
            known = (row < rows)[:, None] & (k < taps)[None, :]
            value = tl.load(source_row + (start + k)[None, :], mask=known, other=0).to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * COLUMNS + k, mask=inside_o, other=0)[None, :].to(COMPUTE)
            total += value
    else:
        for k in range(COLUMNS):
            known = (row < rows)[:, None] & (k < taps)[None, :]
            value = tl.load(source_row + (start + k)[None, :], mask=known, other=0).to(COMPUTE)
            if weight is not None:
                value *= tl.load(weight + o * COLUMNS + k, mask=inside_o, other=0)[None, :].to(COMPUTE)
            total += value
    tl.store(out + (row * count)[:, None] + o[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def nearest_kernel(
    out,
    source,
    first_d,
    first_h,
    first_w,
    D,
    H,
    W,
    count_d,
    count_h,
    count_w,
    STEP: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, d, h, w] = source[plane, first_d[d], first_h[h], first_w[w]]; a STEP that is not zero says
    that first_w[w] is w // STEP."""
    distinct(out, source)
    plane, d, h, w, keep = tile_place(count_d, count_h, count_w, BLOCK_H, BLOCK_W)
    source += (plane.to(tl.int64) * D + tl.load(first_d + d)) * H * W
    out += (plane.to(tl.int64) * count_d + d) * count_h * count_w
    row = tl.load(first_h + h, mask=h < count_h, other=0) * W
    if STEP > 0:
        tiles_w = tl.cdiv(count_w, BLOCK_W)
        column, _ = column_phases((tl.program_id(0) % tiles_w) * BLOCK_W, STEP, BLOCK_W)
        mask = (h < count_h)[:, None] & (column < W)[None, :]
    else:
        column = tl.load(first_w + w, mask=w < count_w, other=0)
        mask = keep
    value = tl.load(source + row[:, None] + column[None, :], mask=mask)
    tl.store(out + (h * count_w)[:, None] + w[None, :], value, mask=keep)


# ---- maps -----------------------------------------------------------------------------------------


def along(source: torch.Tensor, dim: int, table: Windows, dtype: torch.dtype, label: str) -> torch.Tensor:
    """The map of a table along one dimension of a contiguous tensor, as a tensor of `dtype`."""
    shape = (*source.shape[:dim], table.count, *source.shape[dim + 1 :])
    out = torch.empty(shape, dtype=dtype, device=source.device)
    after = math.prod(source.shape[dim + 1 :])
    before = math.prod(source.shape[:dim])
    key = (signature(source), dim, table.count, table.columns, dtype, table.weight is None)
    plan = PLANS.get(key)
    if plan is None:
        if table.size * after >= 1 << 31 or table.count * after >= 1 << 31:
            raise NotServed(label, f"images of {list(source.shape)} are not served")
        budget = TILES.on(source)["elements"]
        if after == 1:
            plan = PLANS.remember(key, _inner_plan(table, before, source, budget, label))
            plan.launch(out, source, table.first, table.number, table.weight)
            return out
        block_a = min(power_of_two(after), budget)
        block_o = min(power_of_two(table.count), budget // block_a)
        plan = Plan(
            axis_kernel,
            before * cdiv(table.count, block_o) * cdiv(after, block_a),
            (table.size, table.count, after, table.columns),
            {
                "TAPS": table.columns if table.columns <= UNROLLED_TAPS else 0,
                "COMPUTE": _compute(source.dtype),
                "BLOCK_O": block_o,
                "BLOCK_A": block_a,
            },
            label=label,
        )
        PLANS.remember(key, plan)
    plan.launch(out, source, table.first, table.number, table.weight)
    return out


def _compute(dtype: torch.dtype) -> Any:
    return TRITON_DTYPES[compute_dtype(dtype) if dtype.is_floating_point else dtype]


def _inner_plan(table: Windows, rows: int, source: torch.Tensor, budget: int, label: str) -> Plan:
    block_o = min(power_of_two(table.count), budget)
    block_r = min(power_of_two(rows), budget // block_o)
    constants = {
        "COLUMNS": table.columns,
        "UNROLL": table.columns <= UNROLLED_TAPS,
        "COMPUTE": _compute(source.dtype),
        "BLOCK_R": block_r,
        "BLOCK_O": block_o,
    }
    programs = cdiv(rows, block_r) * cdiv(table.count, block_o)
    return Plan(inner_axis_kernel, programs, (table.size, table.count, rows), constants, label=label)


def nearest(source: torch.Tensor, tables: Sequence[Windows], label: str) -> torch.Tensor:
    """The maps of tables without weights along all dimensions of a contiguous tensor at once."""
    rank = len(tables)
    missing = 3 - rank
    sizes = ((1,) * missing + tuple(table.size for table in tables))[-3:]
    counts = ((1,) * missing + tuple(table.count for table in tables))[-3:]
    out = torch.empty((*source.shape[:2], *counts[missing:]), dtype=source.dtype, device=source.device)
    key = ("nearest", signature(source), counts, label)
    plan = PLANS.get(key)
    if plan is None:
        if math.prod(sizes) >= 1 << 31 or math.prod(counts) >= 1 << 31:
            raise NotServed(label, f"images of {list(source.shape)} are not served")
        tiles = TILES.on(source)
        block_w = min(max(power_of_two(counts[2]), LARGEST_STEP), tiles["row"])
        block_h = min(power_of_two(counts[1]), tiles["elements"] // block_w)
        step = tables[-1].step
        constants = {"STEP": step if step <= LARGEST_STEP else 0, "BLOCK_H": block_h, "BLOCK_W": block_w}
        programs = math.prod(source.shape[:2]) * counts[0] * cdiv(counts[1], block_h)
        plan = PLANS.remember(
            key,
            Plan(
                nearest_kernel, programs * cdiv(counts[2], block_w), (*sizes, *counts), constants, label=label
            ),
        )
    firsts = [table.first for table in tables]
    while len(firsts) < 3:
        firsts.insert(0, windows(Axis(NEAREST, 1, 1, False, None, torch.float32, source.device)).first)
    plan.launch(out, source, *firsts)
    return out


def _format(x: torch.Tensor) -> Any:
    wanted = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if wanted is not None and not x.is_contiguous() and x.is_contiguous(memory_format=wanted):
        return wanted
    return torch.contiguous_format


def mapped(source: torch.Tensor, tables: Sequence[Windows], label: str) -> torch.Tensor:
    """All maps, the one that shrinks most first; what is in between is kept in the computing type. Of maps
    that enlarge alike, the innermost comes first, which has to look its elements up one by one."""
    result = source.contiguous()
    if all(table.selects for table in tables):
        return nearest(result, tables, label).contiguous(memory_format=_format(source))

    def growth(k: int) -> tuple[float, int]:
        ratio = tables[k].count / max(tables[k].size, 1)
        return ratio, -k if ratio > 1 else k

    order = sorted(range(len(tables)), key=growth)
    wide = compute_dtype(source.dtype) if source.dtype.is_floating_point else source.dtype
    for step, k in enumerate(order):
        last = step == len(order) - 1
        result = along(result, 2 + k, tables[k], source.dtype if last else wide, label)
    return result.contiguous(memory_format=_format(source))

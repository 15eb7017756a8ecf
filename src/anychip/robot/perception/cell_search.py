"""Kernels that look for neighbours in the cells of a grid. A program has a lane for each of a few queries
that lie together: cells around them are read row by row, the box of cells grows until no lane can find
anything better outside of it, and each candidate is one number for all lanes. What a lane has found is kept
in order in as many variables as are wanted, so that the source is written for each number of them."""

from __future__ import annotations

import functools
import linecache
from typing import Any

import triton
import triton.language as tl

from ...ops.distinct import distinct
from .cells import axis_cell

LARGEST = 32
"""Neighbours of a query at most: variables of a lane."""

HEAD = """
def {name}(
    {outputs}, queries, order, points, index, starts, frame, sizes, m, n, cells, blocks, {more}
    BLOCK: tl.constexpr,
):
    distinct(which, queries)
    distinct(which, order)
    distinct(which, points)
    distinct(which, index)
    distinct(which, starts)
    distinct(which, frame)
    distinct(which, sizes)
    cloud = (tl.program_id(0) // blocks).to(tl.int64)
    lane = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = lane < m
    row = cloud * m + tl.load(order + cloud * m + tl.minimum(lane, m - 1))
    x = tl.load(queries + row * 3)
    y = tl.load(queries + row * 3 + 1)
    z = tl.load(queries + row * 3 + 2)
    known = (x - x == 0) & (y - y == 0) & (z - z == 0)
    FLOAT: tl.constexpr = points.dtype.element_ty
    edge = tl.load(frame + cloud * 5 + 3)
    inverse = tl.load(frame + cloud * 5 + 4)
    nx = tl.load(sizes + cloud * 3)
    ny = tl.load(sizes + cloud * 3 + 1)
    nz = tl.load(sizes + cloud * 3 + 2)
    x0 = tl.load(frame + cloud * 5)
    y0 = tl.load(frame + cloud * 5 + 1)
    z0 = tl.load(frame + cloud * 5 + 2)
    points += cloud * n * 3
    index += cloud * n
    starts += cloud * (cells + 2)
"""

NEAREST = """
    i = axis_cell(x, x0, inverse, nx)
    j = axis_cell(y, y0, inverse, ny)
    k = axis_cell(z, z0, inverse, nz)
    # Places in cells, less what their rounding may have moved: bounds must not be too far.
    tx = (x - x0) * inverse
    ty = (y - y0) * inverse
    tz = (z - z0) * inverse
    slack = 0.05 + 1e-6 * (tl.abs(tx) + tl.abs(ty) + tl.abs(tz))
    ia = tl.maximum(tl.min(i, 0) - 1, 0)
    ib = tl.minimum(tl.max(i, 0) + 1, nx - 1)
    ja = tl.maximum(tl.min(j, 0) - 1, 0)
    jb = tl.minimum(tl.max(j, 0) + 1, ny - 1)
    ka = tl.maximum(tl.min(k, 0) - 1, 0)
    kb = tl.minimum(tl.max(k, 0) + 1, nz - 1)
    # The box that was read before: none.
    oia = nx
    oib = -1
    oja = ny
    ojb = -1
    oka = nz
    okb = -1
    grown = 1
    busy = tl.max(known.to(tl.int32), 0)
    while busy > 0:
        for u in range(ia, ib + 1):
            for v in range(ja, jb + 1):
                line = (u * ny + v) * nz
                old = (u >= oia) & (u <= oib) & (v >= oja) & (v <= ojb)
                # Of a line that was read before, what lies at either end of that.
                for part in range(tl.where(old, 2, 1)):
                    first = tl.where(old & (part == 1), okb + 1, ka)
                    last = tl.where(old & (part == 0), oka - 1, kb)
                    begin = tl.load(starts + line + first)
                    end = tl.load(starts + line + last + 1)
                    for at in range(begin, end):
                        dx = x - tl.load(points + at * 3)
                        dy = y - tl.load(points + at * 3 + 1)
                        dz = z - tl.load(points + at * 3 + 2)
                        square = dx * dx + dy * dy + dz * dz
                        if tl.max((square < {worst}).to(tl.int32), 0) > 0:
{insert}
        oia = ia
        oib = ib
        oja = ja
        ojb = jb
        oka = ka
        okb = kb
        # How far a lane is from what was not read, in cells; infinite where the grid ends.
        away = tl.full((BLOCK,), float("inf"), FLOAT)
        away = tl.where(ia > 0, tl.minimum(away, tx - ia.to(FLOAT)), away)
        away = tl.where(ib < nx - 1, tl.minimum(away, (ib + 1).to(FLOAT) - tx), away)
        away = tl.where(ja > 0, tl.minimum(away, ty - ja.to(FLOAT)), away)
        away = tl.where(jb < ny - 1, tl.minimum(away, (jb + 1).to(FLOAT) - ty), away)
        away = tl.where(ka > 0, tl.minimum(away, tz - ka.to(FLOAT)), away)
        away = tl.where(kb < nz - 1, tl.minimum(away, (kb + 1).to(FLOAT) - tz), away)
        bound = tl.where(away > slack, away - slack, 0.0) * edge
        whole = (ia == 0) & (ib == nx - 1) & (ja == 0) & (jb == ny - 1) & (ka == 0) & (kb == nz - 1)
        short = known & (({worst} > bound * bound) | ({last} < 0))
        busy = tl.where(whole, 0, tl.max(short.to(tl.int32), 0))
        ia = tl.maximum(ia - grown, 0)
        ib = tl.minimum(ib + grown, nx - 1)
        ja = tl.maximum(ja - grown, 0)
        jb = tl.minimum(jb + grown, ny - 1)
        ka = tl.maximum(ka - grown, 0)
        kb = tl.minimum(kb + grown, nz - 1)
        grown = tl.minimum(grown * 2, 65536)
"""

WITHIN = """
    limit = tl.load(ball)
    # What rounding moves is looked at as well.
    far = tl.abs(x - x0) + tl.abs(y - y0) + tl.abs(z - z0)
    reach = tl.load(ball + 1) * 1.001 + 0.05 * edge + 1e-6 * far
    inside = known & mask
    ia = tl.min(tl.where(inside, axis_cell(x - reach, x0, inverse, nx), nx), 0)
    ib = tl.max(tl.where(inside, axis_cell(x + reach, x0, inverse, nx), -1), 0)
    ja = tl.min(tl.where(inside, axis_cell(y - reach, y0, inverse, ny), ny), 0)
    jb = tl.max(tl.where(inside, axis_cell(y + reach, y0, inverse, ny), -1), 0)
    ka = tl.min(tl.where(inside, axis_cell(z - reach, z0, inverse, nz), nz), 0)
    kb = tl.max(tl.where(inside, axis_cell(z + reach, z0, inverse, nz), -1), 0)
    total = tl.zeros((BLOCK,), tl.int32)
    for u in range(ia, ib + 1):
        for v in range(ja, jb + 1):
            line = (u * ny + v) * nz
            begin = tl.load(starts + line + ka)
            end = tl.load(starts + line + kb + 1)
            for at in range(begin, end):
                dx = x - tl.load(points + at * 3)
                dy = y - tl.load(points + at * 3 + 1)
                dz = z - tl.load(points + at * 3 + 2)
                near = dx * dx + dy * dy + dz * dz <= limit
                if tl.max(near.to(tl.int32), 0) > 0:
                    total += near.to(tl.int32)
                    new = tl.where(near, tl.load(index + at), 2147483647)
                    if tl.max((new < {worst}).to(tl.int32), 0) > 0:
{insert}
"""


def _nearest(k: int) -> str:
    """Slots b in order of squares, i with the indices."""
    name = f"nearest_in_cells_{k}"
    lines = [HEAD.format(name=name, outputs="which", more="").strip("\n")]
    for slot in range(k):
        lines += [f'    b{slot} = tl.full((BLOCK,), float("inf"), FLOAT)']
        lines += [f"    i{slot} = tl.full((BLOCK,), -1, tl.int32)"]
    pad = " " * 28
    insert = [f"{pad}own = tl.load(index + at)", f"{pad}c0 = square < b0"]
    for slot in range(1, k):
        insert += [f"{pad}c{slot} = square < b{slot}"]
    for slot in reversed(range(k)):
        before = (f"b{slot - 1}", f"i{slot - 1}") if slot else None
        for letter, new, old in (("i", "own", before and before[1]), ("b", "square", before and before[0])):
            kept = f"{letter}{slot}"
            value = f"tl.where(c{slot - 1}, {old}, {new})" if old else new
            insert += [f"{pad}{kept} = tl.where(c{slot}, {value}, {kept})"]
    search = NEAREST.replace("{worst}", f"b{k - 1}").replace("{last}", f"i{k - 1}")
    lines += [search.replace("{insert}", "\n".join(insert)).strip("\n")]
    for slot in range(k):
        lines += [f"    tl.store(which + row * {k} + {slot}, i{slot}.to(tl.int64), mask=mask)"]
    return "\n".join(lines) + "\n"


def _within(k: int) -> str:
    """Slots i in order of indices."""
    name = f"within_in_cells_{k}"
    lines = [HEAD.format(name=name, outputs="which, found", more="ball, ").strip("\n")]
    for other in ("queries", "order", "points", "index", "starts", "frame", "sizes", "which"):
        lines[0] = lines[0].replace("    cloud = (tl", f"    distinct(found, {other})\n    cloud = (tl", 1)
    lines += [f"    i{slot} = tl.full((BLOCK,), 2147483647, tl.int32)" for slot in range(k)]
    pad = " " * 24
    insert = [
        f"{pad}i{slot} = tl.minimum(tl.maximum(i{slot - 1}, new), i{slot})"
        if slot
        else f"{pad}i0 = tl.minimum(new, i0)"
        for slot in reversed(range(k))
    ]
    lines += [WITHIN.replace("{worst}", f"i{k - 1}").replace("{insert}", "\n".join(insert)).strip("\n")]
    for slot in range(k):
        value = f"tl.where(i{slot} == 2147483647, -1, i{slot}).to(tl.int64)"
        lines += [f"    tl.store(which + row * {k} + {slot}, {value}, mask=mask)"]
    lines += ["    tl.store(found + row, total.to(tl.int64), mask=mask)"]
    return "\n".join(lines) + "\n"


@functools.cache
def search_kernel(what: str, k: int) -> Any:
    """The kernel for `what`, "nearest" or "within", and k neighbours."""
    text = {"nearest": _nearest, "within": _within}[what](k)
    name = f"{what}_in_cells_{k}"
    file = f"anychip/robot/generated/{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {
        "__name__": f"anychip.robot.generated.{name}",
        "triton": triton,
        "tl": tl,
        "distinct": distinct,
        "axis_cell": axis_cell,
    }
    exec(compile(text, file, "exec"), space)
    return triton.jit(space[name])

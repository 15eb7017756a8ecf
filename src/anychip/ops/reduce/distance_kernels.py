"""The kernels of distances between rows, pairwise and of all pairs, and of their gradients."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..kernels.numbers import double


@triton.jit
def joined(total, difference, order, ORDER: tl.constexpr):
    """`total` with one more coordinate's difference."""
    if ORDER == 0:
        unlike = tl.where(difference != 0, 1.0, 0.0).to(total.dtype)
        result = total + tl.where(difference != difference, difference, unlike)
    elif ORDER == 1:
        result = total + tl.abs(difference)
    elif ORDER == 2:
        result = total + difference * difference
    elif ORDER == 3:
        size = tl.abs(difference)
        result = tl.where((size > total) | (size != size), size, total)
    else:
        result = total + libdevice.pow(tl.abs(difference), order)
    return result


@triton.jit
def part_added(total, part, ORDER: tl.constexpr):
    """`total` with that of further coordinates."""
    if ORDER == 3:
        result = tl.where((part > total) | (part != part), part, total)
    else:
        result = total + part
    return result


@triton.jit
def finished(total, order, ORDER: tl.constexpr):
    """The distance from the total."""
    if ORDER == 2:
        total = tl.sqrt(total)
    if ORDER >= 4:
        total = libdevice.pow(total, 1.0 / order)
    return total


@triton.jit
def slope(difference, gradient, distance, order, ORDER: tl.constexpr):
    """Gradient of one coordinate of the first row."""
    size = tl.abs(difference)
    sign = tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0)).to(difference.dtype)
    if ORDER == 0:
        result = difference * 0
    elif ORDER == 1:
        result = sign * gradient
    elif ORDER == 2:
        result = tl.where(distance == 0, 0.0, gradient * difference / distance)
    elif ORDER == 3:
        result = gradient * sign * (size == distance).to(difference.dtype)
    else:
        power = libdevice.pow(size / distance, order - 1.0)
        result = sign * power * gradient
        unknown = distance == 0
        if ORDER == 4:
            unknown = unknown | ((difference == 0) & (order < 1))
        result = tl.where(unknown, 0.0, result)
    return result.to(difference.dtype)


@triton.jit(do_not_specialize=["order"])
def cdist_kernel(
    out,
    x,
    y,
    rows,
    columns,
    width,
    order: tl.int64,
    ORDER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """out[batch, i, j] = distance of x[batch, i] and y[batch, j], all contiguous."""
    tiles_n = tl.cdiv(columns, BLOCK_N)
    tiles = tl.cdiv(rows, BLOCK_M) * tiles_n
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    i = ((tile // tiles_n) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    j = ((tile % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    power = double(order).to(x.dtype.element_ty)
    at_x = x + (batch * rows + i) * width
    at_y = y + (batch * columns + j) * width
    total = tl.zeros((BLOCK_M, BLOCK_N), x.dtype.element_ty)
    for k in range(width):
        first = tl.load(at_x + k, mask=i < rows, other=0)
        second = tl.load(at_y + k, mask=j < columns, other=0)
        total = joined(total, first[:, None] - second[None, :], power, ORDER)
    mask = (i < rows)[:, None] & (j < columns)[None, :]
    at = out + batch * rows * columns + (i * columns)[:, None] + j[None, :]
    tl.store(at, finished(total, power, ORDER), mask=mask)


@triton.jit(do_not_specialize=["order"])
def cdist_backward_kernel(
    out,
    gradient,
    x,
    y,
    distances,
    rows,
    columns,
    width,
    order: tl.int64,
    ORDER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """out[batch, i, k] = sum over j of the gradient of distance (i, j) by x[batch, i, k]."""
    tiles_n = tl.cdiv(width, BLOCK_N)
    tiles = tl.cdiv(rows, BLOCK_M) * tiles_n
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    i = ((tile // tiles_n) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    k = ((tile % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    power = double(order).to(x.dtype.element_ty)
    mask = (i < rows)[:, None] & (k < width)[None, :]
    mine = tl.load(x + ((batch * rows + i) * width)[:, None] + k[None, :], mask=mask, other=0)
    total = tl.zeros((BLOCK_M, BLOCK_N), x.dtype.element_ty)
    at = (batch * rows + i) * columns
    for j in range(columns):
        weight = tl.load(gradient + at + j, mask=i < rows, other=0)
        distance = tl.load(distances + at + j, mask=i < rows, other=0)
        theirs = tl.load(y + (batch * columns + j) * width + k, mask=k < width, other=0)
        total += slope(mine - theirs[None, :], weight[:, None], distance[:, None], power, ORDER)
    tl.store(out + ((batch * rows + i) * width)[:, None] + k[None, :], total, mask=mask)


@triton.jit(do_not_specialize=["order"])
def pdist_kernel(out, x, rows, width, stretch, order: tl.int64, ORDER: tl.constexpr, BLOCK: tl.constexpr):
    """Distances of row i to the rows after it; pairs are listed row after row. x is [width, rows]: the same
    coordinate of all rows is contiguous. Each `stretch` coordinates have a total of their own, so that
    rounding errors do not grow with every one."""
    i = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    power = double(order).to(x.dtype.element_ty)
    place = i * rows - i * (i + 1) // 2 - i - 1
    for first in range(i + 1, rows, BLOCK):
        j = first + lane
        inside = j < rows
        total = tl.zeros((BLOCK,), x.dtype.element_ty)
        for near in range(0, width, stretch):
            part = tl.zeros((BLOCK,), x.dtype.element_ty)
            for k in range(near, tl.minimum(near + stretch, width)):
                line = x + k.to(tl.int64) * rows
                theirs = tl.load(line + j, mask=inside, other=0)
                part = joined(part, tl.load(line + i) - theirs, power, ORDER)
            total = part_added(total, part, ORDER)
        tl.store(out + place + j, finished(total, power, ORDER), mask=inside)


@triton.jit(do_not_specialize=["order"])
def pdist_backward_kernel(
    out, gradient, x, distances, rows, width, order: tl.int64, ORDER: tl.constexpr, BLOCK: tl.constexpr
):
    """out[i, k] = sum over j of the gradient of the distance of rows i and j by x[i, k]."""
    tiles = tl.cdiv(width, BLOCK)
    i = (tl.program_id(0) // tiles).to(tl.int64)
    k = ((tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    inside = k < width
    power = double(order).to(x.dtype.element_ty)
    mine = tl.load(x + i * width + k, mask=inside, other=0)
    total = tl.zeros((BLOCK,), x.dtype.element_ty)
    for j in range(rows):
        if j != i:
            low = tl.minimum(i, j).to(tl.int64)
            high = tl.maximum(i, j).to(tl.int64)
            place = low * rows - low * (low + 1) // 2 + high - low - 1
            weight = tl.load(gradient + place)
            distance = tl.load(distances + place)
            theirs = tl.load(x + j.to(tl.int64) * width + k, mask=inside, other=0)
            total += slope(mine - theirs, weight, distance, power, ORDER)
    tl.store(out + i * width + k, total, mask=inside)

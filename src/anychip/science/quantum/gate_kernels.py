"""Kernels of states of qubits: a gate on some of them, the products that make its gradient, and strings of
Pauli's operators. A state [2^n] of complex numbers is [2^n, 2] real ones; qubit q is bit q of an index."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct


@triton.jit
def spread(group, places, COUNT):
    """Indices with zeros put in at the bits places[0] < places[1] ..."""
    index = group
    for k in tl.static_range(COUNT):
        low = (1 << tl.load(places + k).to(tl.int64)) - 1
        index = ((index & (low ^ -1)) << 1) | (index & low)
    return index


@triton.jit
def offset_of(number, targets, COUNT):
    """Bit k of a number, moved to bit targets[k]."""
    offset = tl.zeros((), tl.int64)
    for k in tl.static_range(COUNT):
        offset |= ((number >> k) & 1).to(tl.int64) << tl.load(targets + k).to(tl.int64)
    return offset


@triton.jit(do_not_specialize=["groups"])
def gate_kernel(
    out, state, matrix, targets, places, control, groups, COUNT: tl.constexpr, BLOCK: tl.constexpr
):
    """out = the gate `matrix` [2^COUNT, 2^COUNT, 2] on bits `targets` (in ascending order: `places`) of
    state, where all bits of control[0] are set; elsewhere out = state. A program takes BLOCK groups of
    indices that are equal but for these bits."""
    distinct(out, state)
    distinct(out, matrix)
    SIZE: tl.constexpr = tl.constexpr(1 << COUNT)
    group = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = group < groups
    base = spread(group, places, COUNT)
    wanted = tl.load(control).to(tl.int64)
    active = (base & wanted) == wanted
    for r in range(SIZE):
        row = base | offset_of(r, targets, COUNT)
        real = tl.zeros((BLOCK,), out.dtype.element_ty)
        imaginary = tl.zeros((BLOCK,), out.dtype.element_ty)
        for c in range(SIZE):
            column = base | offset_of(c, targets, COUNT)
            x = tl.load(state + 2 * column, mask=mask, other=0)
            y = tl.load(state + 2 * column + 1, mask=mask, other=0)
            a = tl.load(matrix + 2 * (r * SIZE + c))
            b = tl.load(matrix + 2 * (r * SIZE + c) + 1)
            a = tl.where(active, a, tl.where(r == c, 1.0, 0.0))
            b = tl.where(active, b, 0.0)
            real += a * x - b * y
            imaginary += a * y + b * x
        tl.store(out + 2 * row, real, mask=mask)
        tl.store(out + 2 * row + 1, imaginary, mask=mask)


@triton.jit(do_not_specialize=["groups", "share"])
def overlap_kernel(
    partial, left, state, targets, places, control, groups, share, COUNT: tl.constexpr, BLOCK: tl.constexpr
):
    """partial [programs, SIZE, SIZE, 2], of which the sum over programs is the gradient of a gate's matrix:
    of left (the gradient of the result) times the conjugated state, over groups of indices. A program takes
    an element of the matrix and `share` groups."""
    distinct(partial, state)
    SIZE: tl.constexpr = tl.constexpr(1 << COUNT)
    element = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0).to(tl.int64) * share
    row = offset_of(element // SIZE, targets, COUNT)
    column = offset_of(element % SIZE, targets, COUNT)
    wanted = tl.load(control).to(tl.int64)
    real = tl.zeros((BLOCK,), tl.float64)
    imaginary = tl.zeros((BLOCK,), tl.float64)
    for start in range(first, tl.minimum(first + share, groups), BLOCK):
        group = start + tl.arange(0, BLOCK)
        base = spread(group, places, COUNT)
        mask = (group < groups) & ((base & wanted) == wanted)
        p = tl.load(left + 2 * (base | row), mask=mask, other=0).to(tl.float64)
        q = tl.load(left + 2 * (base | row) + 1, mask=mask, other=0).to(tl.float64)
        x = tl.load(state + 2 * (base | column), mask=mask, other=0).to(tl.float64)
        y = tl.load(state + 2 * (base | column) + 1, mask=mask, other=0).to(tl.float64)
        real += p * x + q * y
        imaginary += q * x - p * y
    at = tl.program_id(0).to(tl.int64) * SIZE * SIZE + element
    tl.store(partial + 2 * at, tl.sum(real, 0))
    tl.store(partial + 2 * at + 1, tl.sum(imaginary, 0))


@triton.jit
def parity(x):
    """Whether the number of bits set is odd."""
    x = x ^ (x >> 32)
    x = x ^ (x >> 16)
    x = x ^ (x >> 8)
    x = x ^ (x >> 4)
    x = x ^ (x >> 2)
    return (x ^ (x >> 1)) & 1


@triton.jit(do_not_specialize=["size", "strings"])
def pauli_kernel(out, state, flips, signs, weights, size, strings, BLOCK: tl.constexpr):
    """out = the sum over strings of Pauli's operators of weights [strings] times the string, on state: X or Y
    on the bits of flips [strings], Z or Y on those of signs [strings]. A program takes BLOCK indices."""
    distinct(out, state)
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = index < size
    real = tl.zeros((BLOCK,), tl.float64)
    imaginary = tl.zeros((BLOCK,), tl.float64)
    for k in range(strings):
        flip = tl.load(flips + k)
        sign = tl.load(signs + k)
        weight = tl.load(weights + k)
        source = index ^ flip
        x = tl.load(state + 2 * source, mask=mask, other=0).to(tl.float64)
        y = tl.load(state + 2 * source + 1, mask=mask, other=0).to(tl.float64)
        # i^(number of Y) times the sign of the source's bits
        turns = 0
        both = flip & sign
        while both > 0:
            turns += 1
            both = both & (both - 1)
        quarter = turns % 4
        factor = weight * tl.where(parity(source & sign) == 1, -1.0, 1.0)
        u = tl.where(quarter == 0, x, tl.where(quarter == 1, -y, tl.where(quarter == 2, -x, y)))
        v = tl.where(quarter == 0, y, tl.where(quarter == 1, x, tl.where(quarter == 2, -y, -x)))
        real += factor * u
        imaginary += factor * v
    tl.store(out + 2 * index, real, mask=mask)
    tl.store(out + 2 * index + 1, imaginary, mask=mask)

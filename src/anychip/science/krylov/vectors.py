"""Sums over and of long vectors, as the solvers need them. Flows in: contiguous vectors of one type. Flows
out: numbers in double precision, and vectors. The order of sums depends only on the length, so that results
are the same with any number of threads."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double
from ...ops.launching import Plan, Plans, cdiv, scalar_bits

BLOCK, SHARE = 64, 1 << 14

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def dots_kernel(partial, basis, x, count, pitch, SHARE: tl.constexpr, BLOCK: tl.constexpr):
    """partial[k, program] = the sum over this program's SHARE of basis[k] times x, rows of basis `pitch`
    apart."""
    program = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1).to(tl.int64)
    sums = tl.zeros((BLOCK,), tl.float64)
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, count), BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        a = tl.load(basis + k * pitch + at, mask=mask, other=0).to(tl.float64)
        sums += a * tl.load(x + at, mask=mask, other=0).to(tl.float64)
    tl.store(partial + k * tl.num_programs(0) + program, tl.sum(sums))


@triton.jit(do_not_specialize=["a", "b"])
def combine_kernel(out, x, y, count, a: tl.int64, b: tl.int64, SHARE: tl.constexpr, BLOCK: tl.constexpr):
    """out = a x + b y."""
    program = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = out.dtype.element_ty
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, count), BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        value = double(a).to(TYPE) * tl.load(x + at, mask=mask, other=0)
        value += double(b).to(TYPE) * tl.load(y + at, mask=mask, other=0)
        tl.store(out + at, value, mask=mask)


@triton.jit(do_not_specialize=["alpha"])
def step_kernel(partial, x, r, p, q, count, alpha: tl.int64, SHARE: tl.constexpr, BLOCK: tl.constexpr):
    """x += alpha p, r -= alpha q, and partial[program] = the sum of r r."""
    distinct(x, q)
    distinct(x, p)
    distinct(x, r)
    distinct(r, p)
    distinct(r, q)
    program = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = x.dtype.element_ty
    factor = double(alpha).to(TYPE)
    sums = tl.zeros((BLOCK,), tl.float64)
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, count), BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        tl.store(x + at, tl.load(x + at, mask=mask) + factor * tl.load(p + at, mask=mask), mask=mask)
        rest = tl.load(r + at, mask=mask, other=0) - factor * tl.load(q + at, mask=mask, other=0)
        tl.store(r + at, rest, mask=mask)
        sums += rest.to(tl.float64) * rest.to(tl.float64)
    tl.store(partial + program, tl.sum(sums))


@triton.jit(do_not_specialize=["many"])
def gather_kernel(x, basis, weights, count, pitch, many, SHARE: tl.constexpr, BLOCK: tl.constexpr):
    """x += the sum over k < many of weights[k] basis[k]."""
    distinct(x, basis)
    distinct(x, weights)
    program = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = x.dtype.element_ty
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, count), BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        sums = tl.load(x + at, mask=mask, other=0)
        for k in range(many):
            sums += tl.load(weights + k).to(TYPE) * tl.load(basis + k * pitch + at, mask=mask, other=0)
        tl.store(x + at, sums, mask=mask)


# ---- functions ------------------------------------------------------------------------------------

PLANS: Plans[Plan] = Plans()


def _plan(kernel: Any, x: torch.Tensor, *sizes: int, many: int = 1) -> Plan:
    """The launch over shares of a vector, `many` times."""
    key = (kernel.__name__, x.dtype, x.device, x.numel(), sizes, many)
    plan = PLANS.get(key)
    if plan is None:
        grid = (cdiv(x.numel(), SHARE), many)
        constants = {"SHARE": SHARE, "BLOCK": BLOCK}
        plan = PLANS.remember(key, Plan(kernel, grid, (x.numel(), *sizes), constants))
    return plan


def dots(basis: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """basis [k, n] times x [n], float64 [k]."""
    many = basis.shape[0]
    partial = torch.empty((many, cdiv(x.numel(), SHARE)), dtype=torch.float64, device=x.device)
    _plan(dots_kernel, x, basis.stride(0), many=many).launch(partial, basis, x)
    return partial[:, 0] if partial.shape[1] == 1 else partial.sum(1)


def dot(x: torch.Tensor, y: torch.Tensor) -> float:
    """x times y."""
    return float(dots(x[None], y))


def norm(x: torch.Tensor) -> float:
    """The root of x times x."""
    return math.sqrt(dot(x, x))


def combine(
    a: float, x: torch.Tensor, b: float, y: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """a x + b y, into `out` if given, which may be x or y."""
    out = torch.empty_like(x) if out is None else out
    numbers = scalar_bits(a, True), scalar_bits(b, True)
    _plan(combine_kernel, x).launch(out, x, y, numbers=numbers)
    return out


def step(x: torch.Tensor, r: torch.Tensor, p: torch.Tensor, q: torch.Tensor, alpha: float) -> float:
    """x += alpha p and r -= alpha q; returns the norm of r."""
    partial = torch.empty(cdiv(x.numel(), SHARE), dtype=torch.float64, device=x.device)
    _plan(step_kernel, x).launch(partial, x, r, p, q, numbers=(scalar_bits(alpha, True),))
    return math.sqrt(float(partial if partial.numel() == 1 else partial.sum()))


def gather(x: torch.Tensor, basis: torch.Tensor, weights: torch.Tensor) -> None:
    """x += weights [k] times basis [k, n]."""
    _plan(gather_kernel, x, basis.stride(0)).launch(x, basis, weights, numbers=(basis.shape[0],))


def orthogonal(basis: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Take from w what lies in the basis [k, n]: that, float64 [k], and the norms of w before and after.
    What is left is taken from once more where most of w lay there (Daniel, Gragg, Kaufman and Stewart,
    1976)."""
    before = norm(w)
    found = dots(basis, w)
    gather(w, basis, -found)
    after = norm(w)
    if not after > 0.7 * before:
        more = dots(basis, w)
        gather(w, basis, -more)
        found, after = found + more, norm(w)
    return found.cpu(), before, after

"""Gamma and Dirichlet random numbers, and the derivatives of samples by their parameters. Samples by
Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. A derivative is the implicit
one, -(d cdf / d parameter) / density, with the integral taken by the double exponential rule of Takahasi
and Mori, "Double exponential formulas for numerical integration", 1974."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..host_draw import drawn_seed
from ..launching import Tiles, cdiv, launch
from ..registry import Operator, Overload, register
from .philox import draw

SERVED = (torch.float32, torch.float64)
TILES = Tiles(simt={"block": 256}, simd={"block": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def gamma_sample(key, offset, shape, active):
    """Gamma numbers of unit scale for shapes above zero; the others are left at the smallest."""
    boosted = shape < 1.0
    d = tl.where(boosted, shape + 1.0, shape) - 0.3333333333333333
    c = 1.0 / tl.sqrt(9.0 * d)
    value = d
    turn = tl.program_id(0) * 0
    while (tl.max(active.to(tl.int32), 0) > 0) & (turn < 2000):
        turn += 2
        first, second = draw(key, offset, turn)
        u, _ = draw(key, offset, turn + 1)
        x = tl.sqrt(-2.0 * tl.log(first)) * tl.cos(6.283185307179586 * second)
        root = 1.0 + c * x
        v = root * root * root
        bound = 0.5 * x * x + d - d * v + d * tl.log(tl.maximum(v, 1e-300))
        accepted = (root > 0) & (tl.log(u) < bound)
        value = tl.where(active & accepted, d * v, value)
        active = active & (accepted == 0)
    share, _ = draw(key, offset, tl.program_id(0) * 0)
    power = tl.exp(tl.log(share) / tl.where(boosted, shape, 1.0))
    return tl.maximum(tl.where(boosted, value * power, value), 2.2250738585072014e-308)


@triton.jit(do_not_specialize=["seed"])
def gamma_kernel(out, shapes, n, seed: tl.int64, smallest: tl.constexpr, BLOCK: tl.constexpr):
    """out[i] is gamma distributed with shape shapes[i]."""
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    shape = tl.load(shapes + offset, mask=inside, other=1).to(tl.float64)
    value = gamma_sample(seed.to(tl.int64), offset, tl.maximum(shape, 1e-300), inside & (shape > 0))
    value = tl.where(shape > 0, tl.maximum(value, smallest), shape * 0.0)
    tl.store(out + offset, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def dirichlet_kernel(out, shapes, width, seed: tl.int64, smallest: tl.constexpr, BLOCK: tl.constexpr):
    """Row r of [rows, width]: gamma numbers divided by their sum."""
    row = tl.program_id(0).to(tl.int64) * width
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, width, BLOCK):
        offset = row + start + lane
        inside = start + lane < width
        shape = tl.load(shapes + offset, mask=inside, other=1).to(tl.float64)
        value = gamma_sample(seed.to(tl.int64), offset, tl.maximum(shape, 1e-300), inside)
        total += tl.where(inside, value, 0.0)
    whole = tl.sum(total, 0)
    for start in range(0, width, BLOCK):
        offset = row + start + lane
        inside = start + lane < width
        shape = tl.load(shapes + offset, mask=inside, other=1).to(tl.float64)
        value = gamma_sample(seed.to(tl.int64), offset, tl.maximum(shape, 1e-300), inside)
        share = tl.minimum(tl.maximum(value / whole, smallest), 1.0)
        tl.store(out + offset, share.to(out.dtype.element_ty), mask=inside)


@triton.jit
def digamma_of(x):
    """The derivative of log gamma for x > 0: eight steps up, then the asymptotic series."""
    below = tl.zeros_like(x)
    for _ in tl.static_range(8):
        below += 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    series = 0.003968253968253968 - square * (0.004166666666666667 - square * 0.007575757575757576)
    series = square * (0.08333333333333333 - square * (0.008333333333333333 - square * series))
    return tl.log(x) - 0.5 / x - series - below


@triton.jit
def rule(node, NODES: tl.constexpr):
    """Point and slope of the double exponential substitution at one of NODES + 1 nodes."""
    s = -7.0 + node * (14.0 / NODES)
    growth = tl.exp(s)
    return 0.7853981633974483 * (growth - 1.0 / growth), 0.7853981633974483 * (growth + 1.0 / growth)


@triton.jit
def gamma_gradient_kernel(out, shapes, samples, n, NODES: tl.constexpr, BLOCK: tl.constexpr):
    """d sample / d shape = the integral over t from 0 to x of (psi(a) - log t) f(t) / f(x), where f is
    the density; beyond the mean it is taken from x upwards, with the other sign."""
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    a = tl.load(shapes + offset, mask=inside, other=1).to(tl.float64)
    x = tl.load(samples + offset, mask=inside, other=1).to(tl.float64)
    psi = digamma_of(a)
    logarithm = tl.log(x)
    upper = x > a
    scale = tl.sqrt(tl.maximum(a, 1.0))
    total = tl.zeros((BLOCK,), tl.float64)
    for node in range(NODES + 1):
        inner, slope = rule(node, NODES)
        log_below = tl.minimum(2.0 * inner, 0.0) - tl.log(1.0 + tl.exp(-2.0 * tl.abs(inner)))
        growth = tl.exp(inner)
        t = tl.where(upper, x + scale * growth, x * tl.exp(log_below))
        log_t = tl.where(upper, tl.log(t), logarithm + log_below)
        log_weight = tl.where(upper, inner, log_below)
        weight = tl.where(upper, scale, x * 2.0 / (1.0 + tl.exp(2.0 * inner))) * slope
        part = (psi - log_t) * tl.exp((a - 1.0) * (log_t - logarithm) + (x - t) + log_weight) * weight
        total += tl.where(part == part, part, 0.0)
    result = tl.where(upper, -total, total) * (14.0 / NODES)
    tl.store(out + offset, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def dirichlet_gradient_kernel(out, samples, shapes, totals, n, NODES: tl.constexpr, BLOCK: tl.constexpr):
    """d sample / d shape of a beta number, divided by 1 - x: the integral of (psi(a) - psi(total) - log t)
    f(t) / f(x) over t below x, or above it with the other sign, whichever is the tail."""
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    x = tl.load(samples + offset, mask=inside, other=0.5).to(tl.float64)
    a = tl.load(shapes + offset, mask=inside, other=1).to(tl.float64)
    whole = tl.load(totals + offset, mask=inside, other=2).to(tl.float64)
    b = whole - a
    centre = digamma_of(a) - digamma_of(whole)
    upper = x > a / whole
    log_x = tl.log(x)
    log_rest = tl.log(1.0 - x)
    total = tl.zeros((BLOCK,), tl.float64)
    for node in range(NODES + 1):
        inner, slope = rule(node, NODES)
        log_near = tl.minimum(2.0 * inner, 0.0) - tl.log(1.0 + tl.exp(-2.0 * tl.abs(inner)))
        log_far = log_near - 2.0 * inner
        span = tl.where(upper, 1.0 - x, x)
        t = tl.where(upper, x + span * tl.exp(log_far), x * tl.exp(log_near))
        log_t = tl.where(upper, tl.log(t), log_x + log_near)
        log_other = tl.where(upper, log_rest + log_near, tl.log((1.0 - x) + span * tl.exp(log_far)))
        exponent = (a - 1.0) * (log_t - log_x) + (b - 1.0) * (log_other - log_rest) + log_near + log_far
        part = (centre - log_t) * tl.exp(exponent) * span * 2.0 * slope
        total += tl.where(part == part, part, 0.0)
    result = tl.where(upper, -total, total) * (14.0 / NODES) / (1.0 - x)
    tl.store(out + offset, result.to(out.dtype.element_ty), mask=inside)


NODES = 240
"""Points of the integration rule; twice as many change nothing in single precision."""

# ---- forward --------------------------------------------------------------------------------------


def _checked(operator: str, *tensors: torch.Tensor) -> None:
    for x in tensors:
        if x.dtype not in SERVED:
            raise NotServed(operator, f"dtype {x.dtype} is not served")
        if x.shape != tensors[0].shape:
            raise ArgumentError(
                f"{operator}: expected operands of one shape, but got {[list(x.shape) for x in tensors]}"
            )


def standard_gamma(self: torch.Tensor, generator: Any = None) -> torch.Tensor:
    """Gamma numbers of unit scale with the shapes in self."""
    _checked("_standard_gamma", self)
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = TILES.on(self)["block"]
    launch(
        gamma_kernel,
        cdiv(self.numel(), block),
        out,
        self.contiguous(),
        self.numel(),
        drawn_seed(generator),
        smallest=torch.finfo(self.dtype).tiny,
        BLOCK=block,
    )
    return out


def sample_dirichlet(self: torch.Tensor, generator: Any = None) -> torch.Tensor:
    """Dirichlet numbers along the last dimension with the concentrations in self."""
    _checked("_sample_dirichlet", self)
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    width = self.shape[-1] if self.ndim else 1
    rows = self.numel() // width if width else 0
    launch(
        dirichlet_kernel,
        rows,
        out,
        self.contiguous(),
        width,
        drawn_seed(generator),
        smallest=torch.finfo(self.dtype).tiny,
        BLOCK=TILES.on(self)["block"],
    )
    return out


def standard_gamma_grad(self: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Derivative of gamma samples `output` by their shapes self."""
    _checked("_standard_gamma_grad", self, output)
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = TILES.on(self)["block"]
    launch(
        gamma_gradient_kernel,
        cdiv(self.numel(), block),
        out,
        self.contiguous(),
        output.contiguous(),
        self.numel(),
        NODES=NODES,
        BLOCK=block,
    )
    return out


def dirichlet_grad(x: torch.Tensor, alpha: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Derivative of beta samples x by their first shape `alpha`, over 1 - x; `total` is both shapes' sum."""
    _checked("_dirichlet_grad", x, alpha, total)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = TILES.on(x)["block"]
    launch(
        dirichlet_gradient_kernel,
        cdiv(x.numel(), block),
        out,
        x.contiguous(),
        alpha.contiguous(),
        total.contiguous(),
        x.numel(),
        NODES=NODES,
        BLOCK=block,
    )
    return out


# ---- record ---------------------------------------------------------------------------------------

register(
    Operator(
        name="gamma",
        overloads=(
            Overload("_standard_gamma", standard_gamma, takes_out=False),
            Overload("_standard_gamma_grad", standard_gamma_grad, takes_out=False),
            Overload("_sample_dirichlet", sample_dirichlet, takes_out=False),
            Overload("_dirichlet_grad", dirichlet_grad, takes_out=False),
        ),
        kernels=(gamma_kernel, dirichlet_kernel, gamma_gradient_kernel, dirichlet_gradient_kernel),
        dtypes=SERVED,
        tiles=TILES,
    )
)

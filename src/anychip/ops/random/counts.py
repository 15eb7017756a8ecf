"""Random counts with parameters per element: Poisson and binomial. Small means by sequential inversion,
large ones by the transformed rejection of Hörmann ("The transformed rejection method for generating
Poisson random variables", 1993, and "The generation of binomial random variates", 1993). A loop's turn t
of element i takes the numbers of counter (i, t)."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import NotServed
from ..host_draw import drawn_seed
from ..iteration import broadcast_shape
from ..launching import Tiles, cdiv, launch
from ..registry import FLOATING, Operator, Overload, register
from .philox import draw

TILES = Tiles(simt={"block": 256}, simd={"block": 512})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def log_factorial(k):
    """log(k!) for k >= 0, to about 1e-9: Stirling's series four places up, and the way back."""
    y = k + 1.0
    z = y + 4.0
    inverse = 1.0 / z
    square = inverse * inverse
    series = inverse * (0.08333333333333333 - square * (0.002777777777777778 - square * 7.936507936507937e-4))
    return (z - 0.5) * tl.log(z) - z + 0.9189385332046728 + series - tl.log(y * (y + 1) * (y + 2) * (y + 3))


@triton.jit(do_not_specialize=["seed"])
def poisson_kernel(out, rates, n, seed: tl.int64, BLOCK: tl.constexpr):
    """out[i] is Poisson with mean rates[i]."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    inside = lane < n - first
    offset = first + lane
    key = seed.to(tl.int64)
    rate = tl.load(rates + offset, mask=inside, other=0).to(tl.float64)
    tl.device_assert(rate >= 0, "invalid Poisson rate, expected rate to be non-negative")
    large = rate >= 10.0
    turn = tl.program_id(0) * 0
    share, _ = draw(key, offset, turn)
    small = tl.where(large, 0.0, rate)
    probability = tl.exp(-small)
    reached = probability
    count = tl.zeros((BLOCK,), tl.float64)
    active = inside & (share > reached) & (small > 0)
    while (tl.max(active.to(tl.int32), 0) > 0) & (turn < 200):
        turn += 1
        count = tl.where(active, count + 1.0, count)
        probability = tl.where(active, probability * small / tl.maximum(count, 1.0), probability)
        reached = tl.where(active, reached + probability, reached)
        active = active & (share > reached)
    mean = tl.where(large, rate, 10.0)
    b = 0.931 + 2.53 * tl.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    limit = 0.9277 - 3.6224 / (b - 2.0)
    turn = tl.program_id(0) * 0
    active = inside & large
    while (tl.max(active.to(tl.int32), 0) > 0) & (turn < 1000):
        turn += 1
        u, v = draw(key, offset, turn)
        u = u - 0.5
        us = 0.5 - tl.abs(u)
        k = tl.floor((2.0 * a / us + b) * u + mean + 0.43)
        safe = tl.maximum(k, 0.0)
        left = tl.log(v * inverse_alpha / (a / (us * us) + b))
        right = safe * tl.log(mean) - mean - log_factorial(safe)
        quick = (us >= 0.07) & (v <= limit)
        accepted = quick | ((k >= 0) & ((us >= 0.013) | (v <= us)) & (left <= right))
        count = tl.where(active & accepted, safe, count)
        active = active & (accepted == 0)
    tl.store(out + offset, count.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def binomial_kernel(out, counts, probabilities, n, seed: tl.int64, BLOCK: tl.constexpr):
    """out[i] is the number of successes in counts[i] trials with probability probabilities[i]."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    inside = lane < n - first
    offset = first + lane
    key = seed.to(tl.int64)
    trials = tl.load(counts + offset, mask=inside, other=0).to(tl.float64)
    given = tl.load(probabilities + offset, mask=inside, other=0).to(tl.float64)
    unknown = (given != given) | (trials != trials)
    trials = tl.where(unknown, 0.0, tl.maximum(trials, 0.0))
    given = tl.where(unknown, 0.0, tl.minimum(tl.maximum(given, 0.0), 1.0))
    p = tl.minimum(given, 1.0 - given)
    large = trials * p >= 10.0
    odds = p / (1.0 - p)
    turn = tl.program_id(0) * 0
    share, _ = draw(key, offset, turn)
    probability = tl.exp(trials * libdevice.log1p(-tl.where(large, 0.0, p)))
    reached = probability
    count = tl.zeros((BLOCK,), tl.float64)
    active = inside & (large == 0) & (share > reached) & (count < trials)
    while (tl.max(active.to(tl.int32), 0) > 0) & (turn < 200):
        turn += 1
        count = tl.where(active, count + 1.0, count)
        step = odds * (trials - count + 1.0) / tl.maximum(count, 1.0)
        probability = tl.where(active, probability * step, probability)
        reached = tl.where(active, reached + probability, reached)
        active = active & (share > reached) & (count < trials)
    q = tl.where(large, p, 0.5)
    size = tl.where(large, trials, 40.0)
    deviation = tl.sqrt(size * q * (1.0 - q))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * q
    centre = size * q + 0.5
    limit = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    mode = tl.floor((size + 1.0) * q)
    peak = log_factorial(mode) + log_factorial(size - mode)
    turn = tl.program_id(0) * 0
    active = inside & large
    while (tl.max(active.to(tl.int32), 0) > 0) & (turn < 1000):
        turn += 1
        u, v = draw(key, offset, turn)
        u = u - 0.5
        us = 0.5 - tl.abs(u)
        k = tl.floor((2.0 * a / us + b) * u + centre)
        possible = (k >= 0) & (k <= size)
        safe = tl.minimum(tl.maximum(k, 0.0), size)
        left = tl.log(v * alpha / (a / (us * us) + b))
        right = peak - log_factorial(safe) - log_factorial(size - safe)
        right += (safe - mode) * tl.log(q / (1.0 - q))
        accepted = possible & (((us >= 0.07) & (v <= limit)) | (left <= right))
        count = tl.where(active & accepted, safe, count)
        active = active & (accepted == 0)
    count = tl.where(given > 0.5, trials - count, count)
    count = tl.where(unknown, float("nan"), count)
    tl.store(out + offset, count.to(out.dtype.element_ty), mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def poisson(self: torch.Tensor, generator: Any = None) -> torch.Tensor:
    """Poisson counts with the means in self, in its dtype."""
    if self.dtype not in FLOATING:
        raise NotServed("poisson", f"dtype {self.dtype} is not served")
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = TILES.on(self)["block"]
    launch(
        poisson_kernel,
        cdiv(self.numel(), block),
        out,
        self.contiguous(),
        self.numel(),
        drawn_seed(generator),
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    return out


def binomial(count: torch.Tensor, prob: torch.Tensor, generator: Any = None) -> torch.Tensor:
    """Successes in `count` trials with probability `prob`; the two broadcast together."""
    if count.dtype not in FLOATING or prob.dtype not in FLOATING:
        raise NotServed("binomial", f"dtypes {count.dtype} and {prob.dtype} are not served")
    shape = broadcast_shape(count.shape, prob.shape)
    out = torch.empty(shape, dtype=count.dtype, device=count.device)
    block = TILES.on(count)["block"]
    launch(
        binomial_kernel,
        cdiv(out.numel(), block),
        out,
        count.expand(shape).contiguous(),
        prob.expand(shape).contiguous(),
        out.numel(),
        drawn_seed(generator),
        BLOCK=block,
    )
    return out


# ---- record ---------------------------------------------------------------------------------------

for _name, _function, _kernel in (
    ("poisson", poisson, poisson_kernel),
    ("binomial", binomial, binomial_kernel),
):
    register(
        Operator(
            name=_name,
            overloads=(Overload(_name, _function, takes_out=False),),
            kernels=(_kernel,),
            differentiable=False,
            tiles=TILES,
        )
    )

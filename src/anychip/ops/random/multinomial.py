"""Drawing indices by weight. With replacement: running sums of the weights, and a binary search for each
draw. Without: the exponential race, in which the smallest -log(u) / weight wins (Efraimidis and
Spirakis, "Weighted random sampling with a reservoir", 2006)."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..host_draw import drawn_seed
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import FLOATING, Operator, Overload, register
from .philox import draw

TILES = Tiles(simt={"block": 1024}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def running_sums_kernel(sums, weights, width, BLOCK: tl.constexpr):
    """sums[r, i] = weights[r, 0] + ... + weights[r, i]."""
    row = tl.program_id(0).to(tl.int64) * width
    lane = tl.arange(0, BLOCK)
    before = tl.sum(tl.zeros((BLOCK,), tl.float64), 0)
    for start in range(0, width, BLOCK):
        inside = start + lane < width
        weight = tl.load(weights + row + start + lane, mask=inside, other=0).to(tl.float64)
        tl.device_assert(
            (weight >= 0) & (weight < float("inf")),
            "probability tensor contains either `inf`, `nan` or element < 0",
        )
        tl.store(sums + row + start + lane, before + tl.cumsum(weight, 0), mask=inside)
        before += tl.sum(weight, 0)
    tl.device_assert(before > 0, "invalid multinomial distribution (sum of probabilities <= 0)")


@triton.jit(do_not_specialize=["seed"])
def search_kernel(out, sums, width, draws, steps, seed: tl.int64, BLOCK: tl.constexpr):
    """out[r, j] = the first index whose running sum passes a uniform share of the whole."""
    tiles = tl.cdiv(draws, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    position = (tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)
    inside = position < draws
    at = row * draws + position
    share, _ = draw(seed.to(tl.int64), at, tl.program_id(0) * 0)
    wanted = share * tl.load(sums + row * width + width - 1)
    low = tl.zeros((BLOCK,), tl.int64)
    high = tl.zeros((BLOCK,), tl.int64) + (width - 1)
    for _ in range(steps):
        middle = (low + high) // 2
        passed = tl.load(sums + row * width + middle) > wanted
        high = tl.where(passed, middle, high)
        low = tl.where(passed, low, tl.minimum(middle + 1, high))
    tl.store(out + at, high, mask=inside)


@triton.jit(do_not_specialize=["seed"])
def race_kernel(out, times, weights, width, draws, seed: tl.int64, BLOCK: tl.constexpr):
    """out[r, j] = the index with the j-th smallest exponential time of rate weights[r, index]."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    times += row * width
    possible = tl.sum(tl.zeros((BLOCK,), tl.int32), 0)
    for start in range(0, width, BLOCK):
        inside = start + lane < width
        weight = tl.load(weights + row * width + start + lane, mask=inside, other=0).to(tl.float64)
        tl.device_assert(
            (weight >= 0) & (weight < float("inf")),
            "probability tensor contains either `inf`, `nan` or element < 0",
        )
        share, _ = draw(seed.to(tl.int64), row * width + start + lane, possible * 0)
        time = tl.where(weight > 0, -tl.log(share) / tl.maximum(weight, 1e-300), float("inf"))
        tl.store(times + start + lane, time, mask=inside)
        possible += tl.sum(((weight > 0) & inside).to(tl.int32), 0)
    tl.device_assert(
        possible >= draws, "invalid multinomial distribution (too few categories of non-zero probability)"
    )
    for j in range(draws):
        tl.debug_barrier()
        best = tl.full((BLOCK,), float("inf"), tl.float64)
        where = tl.zeros((BLOCK,), tl.int64)
        for start in range(0, width, BLOCK):
            time = tl.load(times + start + lane, mask=start + lane < width, other=float("inf"))
            sooner = time < best
            best = tl.where(sooner, time, best)
            where = tl.where(sooner, start + lane, where)
        first = tl.min(best, 0)
        winner = tl.min(tl.where(best == first, where, width), 0)
        tl.store(out + row * draws + j, winner)
        tl.debug_barrier()
        tl.store(times + winner, float("inf"), mask=winner < width)


# ---- forward --------------------------------------------------------------------------------------


def multinomial(
    self: torch.Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None
) -> torch.Tensor:
    """`num_samples` indices into the last dimension of weights [rows, width] or [width]."""
    if self.dtype not in FLOATING:
        raise ArgumentError(f"multinomial only supports floating-point dtypes for input, got: {self.dtype}")
    if self.ndim not in (1, 2):
        raise ArgumentError(f"prob_dist must be 1 or 2 dim, but its shape is {list(self.shape)}")
    width = self.shape[-1]
    if num_samples <= 0:
        raise ArgumentError(f"cannot sample n_sample <= 0 samples, but got {num_samples}")
    if not replacement and num_samples > width:
        raise ArgumentError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
            f"{num_samples} > {width}"
        )
    if generator is not None and generator.device.type != "cpu":
        raise NotServed("multinomial", f"a generator on {generator.device} is not served")
    shape = (*self.shape[:-1], num_samples)
    result = torch.empty(shape, dtype=torch.int64, device=self.device)
    weights = self.contiguous()
    rows = result.numel() // num_samples
    work = torch.empty(self.shape, dtype=torch.float64, device=self.device)
    block = min(power_of_two(width), TILES.on(self)["block"])
    checks: dict[str, Any] = {"debug": True, "sanitize_overflow": False}
    if replacement or num_samples == 1:
        launch(running_sums_kernel, rows, work, weights, width, BLOCK=block, **checks)
        wide = min(power_of_two(num_samples), TILES.on(self)["block"])
        launch(
            search_kernel,
            rows * cdiv(num_samples, wide),
            result,
            work,
            width,
            num_samples,
            width.bit_length() + 1,
            drawn_seed(generator),
            BLOCK=wide,
        )
    else:
        launch(
            race_kernel,
            rows,
            result,
            work,
            weights,
            width,
            num_samples,
            drawn_seed(generator),
            BLOCK=block,
            **checks,
        )
    if out is None:
        return result
    if out.dtype != torch.int64:
        raise ArgumentError(f"multinomial expects Long tensor out, got: {out.dtype}")
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


# ---- record ---------------------------------------------------------------------------------------

register(
    Operator(
        name="multinomial",
        overloads=(Overload("multinomial", multinomial),),
        kernels=(running_sums_kernel, search_kernel, race_kernel),
        differentiable=False,
        tiles=TILES,
    )
)

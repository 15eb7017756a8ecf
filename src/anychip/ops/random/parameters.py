"""Random numbers whose parameters are tensors: a probability, or a mean and a deviation, per element.
Element i takes the numbers of counter i, as in `philox`."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..host_draw import drawn_seed
from ..iteration import broadcast_shape
from ..kernels.numbers import double
from ..launching import Tiles, cdiv, launch, scalar_bits
from ..pointwise_kernels import store_as
from ..registry import ALL, FLOATING, Operator, Overload, register
from .philox import open_unit

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["seed"])
def coin_kernel(out, probability, n, seed: tl.int64, TYPE: tl.constexpr, BLOCK: tl.constexpr):
    """out[i] = 1 with probability probability[i], else 0."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    inside = lane < n - first
    a, b, _, _ = tl.randint4x(seed.to(tl.int64), first + lane)
    wanted = tl.load(probability + first + lane, mask=inside, other=0).to(TYPE)
    tl.device_assert((wanted >= 0) & (wanted <= 1), "bernoulli: Expected p_in >= 0 && p_in <= 1 to be true")
    store_as(out + first + lane, (open_unit(a, b, TYPE) < wanted).to(TYPE), inside)


@triton.jit(do_not_specialize=["seed", "mean", "deviation"])
def normal_kernel(
    out,
    means,
    deviations,
    n,
    seed: tl.int64,
    mean: tl.int64,
    deviation: tl.int64,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] is normal with mean means[i] and deviation deviations[i]; a number where that is None."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    inside = lane < n - first
    a, b, c, d = tl.randint4x(seed.to(tl.int64), first + lane)
    radius = tl.sqrt(-2.0 * tl.log(open_unit(a, b, TYPE)))
    value = radius * tl.cos(6.283185307179586 * open_unit(c, d, TYPE))
    if deviations is not None:
        stretch = tl.load(deviations + first + lane, mask=inside, other=0).to(TYPE)
        tl.device_assert(stretch >= 0, "normal expects all elements of std >= 0.0")
        value *= stretch
    else:
        value *= double(deviation).to(TYPE)
    if means is not None:
        value += tl.load(means + first + lane, mask=inside, other=0).to(TYPE)
    else:
        value += double(mean).to(TYPE)
    store_as(out + first + lane, value, inside)


# ---- forward --------------------------------------------------------------------------------------


def bernoulli_by(self: torch.Tensor, p: torch.Tensor, *, generator: Any = None) -> torch.Tensor:
    """Fill self with coins that show one with the probabilities `p`, which broadcast to self."""
    if self.dtype not in ALL or p.dtype not in FLOATING:
        raise NotServed("bernoulli", f"dtypes {self.dtype} and {p.dtype} are not served")
    if not self.numel():
        return self
    target = self if self.is_contiguous() else torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = TILES.on(self)["block"]
    launch(
        coin_kernel,
        cdiv(self.numel(), block),
        target,
        p.expand(self.shape).contiguous(),
        self.numel(),
        drawn_seed(generator),
        TYPE=tl.float64 if p.dtype == torch.float64 else tl.float32,
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    return self if target is self else self.copy_(target)


def bernoulli_out(self: torch.Tensor, *, generator: Any = None, out: torch.Tensor) -> torch.Tensor:
    """`out` resized, with one where a coin of the probability in self shows it."""
    return bernoulli_by(out.resize_(self.shape), self, generator=generator)


def normal(
    mean: torch.Tensor | float, std: torch.Tensor | float, *, generator: Any = None, out: Any = None
) -> torch.Tensor:
    """Normal numbers with means and deviations that broadcast together; at least one is a tensor."""
    tensors = [x for x in (mean, std) if isinstance(x, torch.Tensor)]
    if any(x.dtype not in FLOATING for x in tensors):
        raise NotServed("normal", f"dtypes {[x.dtype for x in tensors]} are not served")
    if isinstance(std, float | int) and std < 0:
        raise ArgumentError(f"normal expects std >= 0.0, but found std {std}")
    shape = broadcast_shape(*(x.shape for x in tensors))
    if out is None:
        out = torch.empty(shape, dtype=tensors[0].dtype, device=tensors[0].device)
    elif out.shape != shape:
        out.resize_(shape)
    if not out.numel():
        return out
    dense = out.is_contiguous()
    target = out if dense else torch.empty(shape, dtype=out.dtype, device=out.device)
    pointers = [x.expand(shape).contiguous() if isinstance(x, torch.Tensor) else None for x in (mean, std)]
    numbers = [0 if isinstance(x, torch.Tensor) else scalar_bits(x, True) for x in (mean, std)]
    block = TILES.on(out)["block"]
    launch(
        normal_kernel,
        cdiv(target.numel(), block),
        target,
        *pointers,
        target.numel(),
        drawn_seed(generator),
        *numbers,
        TYPE=tl.float64 if out.dtype == torch.float64 else tl.float32,
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    return out if dense else out.copy_(target)


def mean_only(
    mean: torch.Tensor, std: float = 1.0, *, generator: Any = None, out: Any = None
) -> torch.Tensor:
    """Normal numbers with a mean per element."""
    return normal(mean, std, generator=generator, out=out)


# ---- record ---------------------------------------------------------------------------------------

register(
    Operator(
        name="bernoulli_by",
        overloads=(
            Overload("bernoulli_.Tensor", bernoulli_by, takes_out=False),
            Overload("bernoulli.out", bernoulli_out, takes_out=False),
        ),
        kernels=(coin_kernel,),
        differentiable=False,
        tiles=TILES,
    )
)
register(
    Operator(
        name="normal_by",
        overloads=(
            Overload("normal.Tensor_Tensor", normal),
            Overload("normal.Tensor_float", mean_only),
            Overload("normal.float_Tensor", normal),
        ),
        kernels=(normal_kernel,),
        differentiable=False,
        tiles=TILES,
    )
)

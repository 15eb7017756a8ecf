"""Loss scaling for training in half precision, as `torch.amp.GradScaler` calls it: gradients are divided by
the scale and searched for infinities and NaN; the scale shrinks when one was found and grows when none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from ..errors import NotServed
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch, scalar_bits
from ..references import in_single
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 1024}, simd={"block": 4096})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def unscale_kernel(gradient, found, inverse, n, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """gradient *= inverse; found = 1 if an element was infinite or NaN (every writer writes the same)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    value = tl.load(gradient + at, mask=mask, other=0.0).to(COMPUTE)
    strange = ((value != value) | (tl.abs(value) == float("inf"))).to(tl.int32)
    tl.store(found, tl.full((), 1.0, found.dtype.element_ty), mask=tl.max(strange, 0) > 0)
    value = value * tl.load(inverse).to(COMPUTE)
    tl.store(gradient + at, value.to(gradient.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["growth", "backoff", "interval"])
def scale_kernel(scale, tracker, found, growth: tl.int64, backoff: tl.int64, interval):
    """scale times backoff if one was found, times growth after `interval` steps without."""
    value = tl.load(scale)
    steps = tl.load(tracker) + 1
    bad = tl.load(found) != 0.0
    shrunk = (value.to(tl.float64) * double(backoff)).to(value.dtype)
    grown = (value.to(tl.float64) * double(growth)).to(value.dtype)
    grown = tl.where(tl.abs(grown) < float("inf"), grown, value)
    due = steps == interval
    tl.store(scale, tl.where(bad, shrunk, tl.where(due, grown, value)))
    tl.store(tracker, tl.where(bad | due, 0, steps).to(tracker.dtype.element_ty))


# ---- forward --------------------------------------------------------------------------------------


def unscale_(self: Sequence[torch.Tensor], found_inf: torch.Tensor, inv_scale: torch.Tensor) -> None:
    """Multiply gradients by `inv_scale` and set `found_inf` to one if any element was not finite."""
    for gradient in self:
        if gradient.dtype not in FLOATING:
            raise NotServed("_amp_foreach_non_finite_check_and_unscale_", f"dtype {gradient.dtype}")
        dense = gradient if gradient.is_contiguous() else gradient.contiguous()
        block = TILES.on(gradient)["block"]
        launch(
            unscale_kernel,
            cdiv(dense.numel(), block),
            dense,
            found_inf,
            inv_scale,
            dense.numel(),
            COMPUTE=TRITON_DTYPES[compute_dtype(gradient.dtype)],
            BLOCK=block,
        )
        if dense is not gradient:
            gradient.copy_(dense)


def unscale(
    self: Sequence[torch.Tensor], found_inf: torch.Tensor, inv_scale: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The same on copies: (gradients, found)."""
    copies, found = [x.clone() for x in self], found_inf.clone()
    unscale_(copies, found, inv_scale)
    return copies, found


def update_scale_(
    self: torch.Tensor,
    growth_tracker: torch.Tensor,
    found_inf: torch.Tensor,
    scale_growth_factor: float,
    scale_backoff_factor: float,
    growth_interval: int,
) -> torch.Tensor:
    """The scale (one element) and the count of good steps after one more step."""
    launch(
        scale_kernel,
        1,
        self,
        growth_tracker,
        found_inf,
        scalar_bits(scale_growth_factor, True),
        scalar_bits(scale_backoff_factor, True),
        growth_interval,
    )
    return self


def update_scale(
    self: torch.Tensor,
    growth_tracker: torch.Tensor,
    found_inf: torch.Tensor,
    scale_growth_factor: float,
    scale_backoff_factor: float,
    growth_interval: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same on copies: (scale, count)."""
    scale, tracker = self.clone(), growth_tracker.clone()
    update_scale_(scale, tracker, found_inf, scale_growth_factor, scale_backoff_factor, growth_interval)
    return scale, tracker


# ---- record ---------------------------------------------------------------------------------------


def _gradients(dtype: torch.dtype) -> list[Sample]:
    gradients = [tensor((5, 7), dtype), tensor((6, 4), dtype).t(), tensor((), dtype)]
    strange = [tensor((3,), dtype), torch.tensor([1.0, float("inf")], dtype=dtype)]
    found, inverse = torch.zeros(()), torch.tensor(0.25)
    return [Sample((gradients, found, inverse)), Sample((strange, found, inverse))]


def _scales(dtype: torch.dtype) -> list[Sample]:
    scale = torch.tensor(1024.0, dtype=dtype)
    return [
        Sample((scale, torch.tensor(tracked, dtype=torch.int32), torch.tensor(found), 2.0, 0.5, 3))
        for tracked, found in ((0, 0.0), (2, 0.0), (1, 1.0))
    ]


register(
    Operator(
        name="amp_unscale",
        overloads=(
            Overload(
                "_amp_foreach_non_finite_check_and_unscale",
                unscale,
                _gradients,
                takes_out=False,
                reference=in_single("_amp_foreach_non_finite_check_and_unscale"),
            ),
            Overload("_amp_foreach_non_finite_check_and_unscale_", unscale_, takes_out=False),
        ),
        kernels=(unscale_kernel,),
        dtypes=(torch.float32, torch.float16, torch.bfloat16),
        differentiable=False,
        tiles=TILES,
    )
)
register(
    Operator(
        name="amp_update_scale",
        overloads=(
            Overload(
                "_amp_update_scale",
                update_scale,
                _scales,
                takes_out=False,
                reference=in_single("_amp_update_scale"),
            ),
            Overload(
                "_amp_update_scale_",
                update_scale_,
                _scales,
                takes_out=False,
                reference=in_single("_amp_update_scale_"),
            ),
        ),
        kernels=(scale_kernel,),
        dtypes=(torch.float32,),
        differentiable=False,
        tiles=TILES,
    )
)

"""Airy's function Ai: a Chebyshev series around zero, an exponential decay above, and an oscillation
below, whose slowly varying factors are Chebyshev series, too. DLMF 9.7."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..pointwise import Promotion, pointwise
from ..registry import Sample
from ..samples import layouts, tensor
from .chebyshev import AIRY_COSINE, AIRY_DECAY, AIRY_MIDDLE, AIRY_SINE, chebyshev_sum
from .references import scipy_special


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for low, high in ((-12.0, -4.0), (-5.0, 2.0), (1.0, 12.0)):
        yield Sample((tensor((33,), dtype, low, high),))
    yield Sample((next(layouts(tensor((3, 4, 5), dtype))),))
    yield Sample((torch.tensor([0.0, 1.5, -4.5, 50.0, float("nan")], dtype=dtype),))
    yield Sample((tensor((0, 3), dtype),))


@pointwise(
    "special_airy_ai",
    promotion=Promotion.INT_TO_FLOAT,
    dtypes=(torch.float32, torch.float64),
    differentiable=False,
    samples=_samples,
    reference=scipy_special("airy", 0),
    tolerance=16.0,  # the phase 2/3 x^1.5 carries the rounding of x
)
@triton.jit
def special_airy_ai(x):
    above = x > 1.5
    below = x < -4.5
    middle = chebyshev_sum(tl.where(above | below, 0.0, (x + 1.5) / 3.0), AIRY_MIDDLE, 21)
    size = tl.where(above | below, tl.abs(x), 4.5)
    root = tl.sqrt(size)
    phase = size * root * 0.6666666666666666
    share = 1.0 / tl.sqrt(root)
    decay = chebyshev_sum(2.449489742783178 / phase - 1.0, AIRY_DECAY, 11) * tl.exp(-phase)
    inverse = 6.363961030678928 / phase
    inside = tl.where(below, 2.0 * inverse * inverse - 1.0, 0.0)
    cosine, sine = tl.cos(phase), tl.sin(phase)
    along = chebyshev_sum(inside, AIRY_COSINE, 5)
    across = chebyshev_sum(inside, AIRY_SINE, 6) / phase
    wave = ((along + across) * sine + (along - across) * cosine) * 0.7071067811865476
    value = tl.where(above, share * decay, tl.where(below, share * wave, middle))
    return tl.where(tl.abs(x) == float("inf"), float("nan"), value)

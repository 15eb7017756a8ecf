"""Mean and variance of rows, for the normalisations: the mean first, then sums of what is left of each
element. The mean of these is what rounding took off the mean: it is given beside it, and the variance is
around both."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def variance_beside(square, beside):
    """The variance, from the mean `square` of distances from a number `beside` the mean."""
    variance = square - beside * beside
    return tl.where(variance < 0, 0.0, variance)


@triton.jit
def moments(total, squares, count, AXIS):
    """(what the mean lacks, variance), from sums of centred values and of their squares, which are added up
    along AXIS, over `count` elements."""
    beside = tl.sum(total, AXIS) / count
    return beside, variance_beside(tl.sum(squares, AXIS) / count, beside)


@triton.jit
def centred_sums(value, mean, mask, total, squares):
    """Sums of centred values and of their squares, with those of one more tile; nothing where `mask` is
    false."""
    centred = tl.where(mask, value - mean, 0.0)
    return total + centred, squares + centred * centred

"""What every operator of the library is timed with, at two sizes: one whose tensors stay in a core's
caches, and one whose tensors leave them, or that takes some milliseconds where an operator is dear.

Flows in: an overload and a size. Flows out: its arguments, the same at every call.
"""

from __future__ import annotations

from ...ops.registry import Operator, Overload, Sample
from . import images, matrices, movement, pointwise, random, reductions, rows
from .size import LARGE, SIZES, SMALL, Size, Table

__all__ = [
    "APPROXIMATE",
    "FIRST",
    "LARGE",
    "RANDOM",
    "SIZES",
    "SMALL",
    "SUMS",
    "TABLE",
    "Size",
    "arguments",
    "native_arguments",
]

TABLE: Table = {
    **pointwise.TABLE,
    **reductions.TABLE,
    **rows.TABLE,
    **movement.TABLE,
    **images.TABLE,
    **matrices.TABLE,
    **random.TABLE,
}
RANDOM = random.RANDOM
APPROXIMATE = random.APPROXIMATE
SUMS = frozenset({"_fake_quantize_learnable_per_tensor_affine_backward"})
"""Overloads with a result that is a sum over all elements, which cancel."""
FIRST = frozenset({"mode", "unique_dim", "unique_dim_consecutive"})
"""Overloads of which the first result alone is compared: places of equal values are left open, and the
others are not made where nobody asks for them."""


def arguments(operator: Operator, overload: Overload, size: Size) -> Sample:
    """The arguments of an overload: from the tables, or for a pointwise one from its schema."""
    make = TABLE.get(overload.name)
    if make is not None:
        return make(size)
    return pointwise.by_schema(overload.name, size, integral=not operator.dtypes[0].is_floating_point)


def native_arguments(overload: Overload, size: Size, ours: Sample) -> Sample:
    """Those for PyTorch's own kernel: ours, but where the two cannot be the same."""
    make = matrices.NATIVE.get(overload.name)
    return ours if make is None else make(size)

"""PyTorch's type promotion of elementwise operators. Flows in: tensors and numbers. Flows out: the type to
compute in and the type of the result.

The rules are those that `torch._prims_common.elementwise_dtypes` writes out; asking that function imports
SymPy, which takes a program's first operator a third of a second.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND as Promotion
from torch._prims_common import get_computation_dtype

from .errors import ArgumentError

__all__ = ["Promotion", "elementwise_dtypes"]

BOOL, INTEGER, FLOATING, COMPLEX = range(4)
"""Kinds of types, the lower before the higher."""

NUMBERS: tuple[tuple[type, int], ...] = (
    (bool, BOOL),
    (int, INTEGER),
    (float, FLOATING),
    (complex, COMPLEX),
)
"""Python's numbers; a bool is an int as well."""


def kind_of(dtype: torch.dtype) -> int:
    """The kind of a tensor's type."""
    if dtype == torch.bool:
        return BOOL
    return COMPLEX if dtype.is_complex else FLOATING if dtype.is_floating_point else INTEGER


def _kind(operand: Any) -> int:
    if isinstance(operand, torch.Tensor):
        return kind_of(operand.dtype)
    for number, kind in NUMBERS:
        if isinstance(operand, number):
            return kind
    raise ArgumentError(f"type promotion: an operand is a {type(operand).__name__}, no tensor and no number")


def promoted(*operands: Any) -> torch.dtype:
    """The type that operands are promoted to. Kinds go before sizes, and tensors with dimensions before those
    without, which go before numbers."""
    kind = max(map(_kind, operands))
    if kind == BOOL:
        return torch.bool
    least = FLOATING if kind == COMPLEX else kind
    tensors = [x for x in operands if isinstance(x, torch.Tensor) and kind_of(x.dtype) >= least]
    decisive = [x for x in tensors if x.ndim] or tensors
    if decisive:
        dtypes = [x.dtype.to_complex() if kind == COMPLEX else x.dtype for x in decisive]
        return functools.reduce(torch.promote_types, dtypes)
    default = torch.get_default_dtype()
    return torch.int64 if kind == INTEGER else default.to_complex() if kind == COMPLEX else default


def elementwise_dtypes(*operands: Any, type_promotion_kind: Promotion) -> tuple[torch.dtype, torch.dtype]:
    """The type to compute in, and that of the result, by the promotion of an operator. Operands that are None
    count for nothing. Raises ArgumentError for one that is neither a tensor nor a number."""
    result = promoted(*(x for x in operands if x is not None))
    if type_promotion_kind is Promotion.NO_OPMATH:
        return result, result
    if type_promotion_kind is Promotion.BOOL_TO_LONG and result == torch.bool:
        return torch.int64, torch.int64
    if type_promotion_kind is Promotion.INT_TO_FLOAT and kind_of(result) < FLOATING:
        result = torch.get_default_dtype()
    compute = get_computation_dtype(result)
    if type_promotion_kind is Promotion.COMPLEX_TO_FLOAT and result.is_complex:
        result = result.to_real()
    return compute, torch.bool if type_promotion_kind is Promotion.ALWAYS_BOOL else result

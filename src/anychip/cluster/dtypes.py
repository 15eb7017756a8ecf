"""Which reductions each element type has, and in which type they are computed. Flows in: dtypes and
PyTorch's reduce operations. Flows out: rows of a table, and refusals that say what to do instead.

Whatever only moves elements (broadcast, gather, scatter, all-to-all, send) moves their bytes, so that it
serves every type. Reductions are those that PyTorch's own operators define for the type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist

from .errors import CollectiveError

Combine = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FLOATS = ("SUM", "AVG", "PRODUCT", "MIN", "MAX")
COMPLEX = ("SUM", "AVG", "PRODUCT")
INTEGERS = ("SUM", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR")


@dataclass(frozen=True, slots=True)
class Reduction:
    """How elements of one dtype are reduced: `computed` is the dtype in which terms are combined,
    `operations` what there is. `in_gloo`: gloo has the type, and rounds no more often than we would."""

    dtype: torch.dtype
    computed: torch.dtype
    operations: tuple[str, ...]
    in_gloo: bool = False


def _named(name: str) -> list[torch.dtype]:
    return [getattr(torch, name)] if hasattr(torch, name) else []


SMALL_FLOATS = tuple(
    dtype
    for name in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
    for dtype in _named(name)
)
"""Eight-bit floats: terms are combined in f32 and rounded once, as PyTorch converts."""

REDUCTIONS = {
    row.dtype: row
    for row in (
        Reduction(torch.float64, torch.float64, FLOATS, in_gloo=True),
        Reduction(torch.float32, torch.float32, FLOATS, in_gloo=True),
        Reduction(torch.bfloat16, torch.float32, FLOATS),
        Reduction(torch.float16, torch.float32, FLOATS),
        *(Reduction(dtype, torch.float32, FLOATS) for dtype in SMALL_FLOATS),
        Reduction(torch.complex128, torch.complex128, COMPLEX),
        Reduction(torch.complex64, torch.complex64, COMPLEX),
        Reduction(torch.complex32, torch.complex64, COMPLEX),
        Reduction(torch.int64, torch.int64, INTEGERS, in_gloo=True),
        Reduction(torch.int32, torch.int32, INTEGERS, in_gloo=True),
        Reduction(torch.int16, torch.int16, INTEGERS),
        Reduction(torch.int8, torch.int8, INTEGERS),
        Reduction(torch.uint64, torch.int64, INTEGERS),
        Reduction(torch.uint32, torch.int64, INTEGERS),
        Reduction(torch.uint16, torch.int64, INTEGERS),
        Reduction(torch.uint8, torch.uint8, INTEGERS),
        Reduction(torch.bool, torch.bool, INTEGERS),
    )
}
"""Dtype -> its row. A dtype that is missing moves, and has no reduction."""

MOVED_ONLY = tuple(dtype for name in ("float4_e2m1fn_x2",) for dtype in _named(name))
"""Types of packed elements: their bytes move."""

IN_GLOO = frozenset({"SUM", "AVG", "PRODUCT"})
"""Operations that gloo gets right where it has the type, a mean as the sum. Its least and greatest of floats
lose a NaN, or not, by its rank."""

_COMBINE: dict[str, Combine] = {
    "SUM": torch.add,
    "AVG": torch.add,
    "PRODUCT": torch.mul,
    "MIN": torch.minimum,
    "MAX": torch.maximum,
    "BAND": torch.bitwise_and,
    "BOR": torch.bitwise_or,
    "BXOR": torch.bitwise_xor,
}
_OF_BOOLS: dict[str, Combine] = {
    "SUM": torch.logical_or,
    "PRODUCT": torch.logical_and,
    "MIN": torch.logical_and,
    "MAX": torch.logical_or,
    "BAND": torch.logical_and,
    "BOR": torch.logical_or,
    "BXOR": torch.logical_xor,
}


def operation_name(operation: object) -> str:
    """The name of one of PyTorch's reduce operations, such as "SUM"."""
    for name in (*_COMBINE, "PREMUL_SUM"):
        if operation == getattr(dist.ReduceOp, name, None):
            return name
    return str(operation)


def reduction(dtype: torch.dtype, operation: str) -> Reduction:
    """The row of a dtype. Raises CollectiveError for what the type has no such reduction of."""
    row = REDUCTIONS.get(dtype)
    short = str(dtype).removeprefix("torch.")
    if row is None:
        raise CollectiveError(f"{short} has no reductions.", "Gather the tensors and combine what they hold.")
    if operation not in row.operations:
        if operation == "AVG":
            advice = (
                "Sum, and divide in the type that the mean shall have: torch.mean takes no such type either."
            )
        elif operation in ("MIN", "MAX"):
            advice = "Complex numbers have no order."
        elif operation == "PREMUL_SUM":
            advice = "Multiply before the call, and use SUM."
        else:
            advice = f"{short} has: {', '.join(row.operations)}."
        raise CollectiveError(f"{operation} of {short} has no result.", advice)
    return row


def combined(terms: torch.Tensor, row: Reduction, operation: str) -> torch.Tensor:
    """The reduction over the first axis of `terms` [ranks, elements] of dtype `row.dtype`, as [elements] of
    it. Terms are combined in the order of the ranks, in `row.computed`, and rounded once."""
    combine = (_OF_BOOLS if row.dtype is torch.bool else _COMBINE)[operation]
    flip = row.dtype is torch.uint64 and operation in ("MIN", "MAX")
    lowest = torch.iinfo(torch.int64).min

    def computable(term: torch.Tensor) -> torch.Tensor:
        if row.dtype is torch.uint64:
            signed = term.view(torch.int64)
            return signed ^ lowest if flip else signed
        return term.to(row.computed)

    total = computable(terms[0])
    if total.data_ptr() == terms.data_ptr() and len(terms) > 1:
        total = combine(total, computable(terms[1]))
        rest = terms[2:]
    else:
        rest = terms[1:]
    for term in rest:
        total = combine(total, computable(term))
    if operation == "AVG":
        total = total / len(terms)
    if row.dtype is torch.uint64:
        return (total ^ lowest if flip else total).view(torch.uint64)
    return total.to(row.dtype)

"""Whether a result is right. Flows in: our result, PyTorch's in the same type, PyTorch's in float64, and how
that moves with its inputs. Flows out: nothing, or what differs and by how much.

Floating results may miss the float64 reference by the bound of `accuracy`; everything else is equal or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from .accuracy import UNITS, Yardstick
from .nearby import Nearby, OfResult, parts_of


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a result is judged: `calls` of operators on the way, a `factor` on what the result moves
    by with its inputs, and whether any value may stand where PyTorch gives NaN."""

    calls: int = 1
    factor: float = 1.0
    undefined: bool = False


PLAIN = Terms()


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors of a nested value."""
    return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]


def difference(
    actual: Any, native: Any, reference: Any, terms: Terms = PLAIN, nearby: Nearby | None = None
) -> str | None:
    """What is wrong with `actual`, or None. `native` is PyTorch's result, which also says shapes and
    types; `reference` is the same in float64, or None where there is none."""
    ours, theirs = tree_flatten(actual)[0], tree_flatten(native)[0]
    exact = tree_flatten(reference)[0] if reference is not None else [None] * len(theirs)
    if len(exact) != len(theirs) or reference is None:
        exact = [None] * len(theirs)
    if len(ours) != len(theirs):
        return f"{len(ours)} results instead of {len(theirs)}"
    for number, (x, y, z) in enumerate(zip(ours, theirs, exact, strict=True)):
        place = f"result {number}: " if len(ours) > 1 else ""
        if isinstance(y, torch.Tensor):
            if not isinstance(x, torch.Tensor):
                return f"{place}{type(x).__name__} instead of a tensor"
            exact_one = z if isinstance(z, torch.Tensor) else None
            beside = None if nearby is None else OfResult(nearby, number, len(theirs))
            fault = _tensor_difference(x, y, exact_one, terms, beside)
        else:
            same = x == y or (x != x and y != y)
            fault = None if same else f"{x!r} instead of {y!r}"
        if fault:
            return place + fault
    return None


def selects(indices: torch.Tensor, values: torch.Tensor, source: torch.Tensor) -> bool:
    """Whether `indices` pick `values` out of `source` along some dimension, none of them twice: where
    elements are equal, PyTorch leaves open which of them an operator names."""
    for dim in range(max(1, source.ndim)):
        if values.ndim == source.ndim:
            found, picked = indices, values
        elif values.ndim == source.ndim - 1:
            found, picked = indices.unsqueeze(dim), values.unsqueeze(dim)
        else:
            return False
        alike = all(k == dim or n == m for k, (n, m) in enumerate(zip(found.shape, source.shape)))
        if not alike or not found.numel() or bool((found < 0).any() | (found >= source.shape[dim]).any()):
            continue
        same = torch.gather(source, dim, found)
        twice = (found.sort(dim).values.diff(dim=dim) == 0).any()
        if bool(((same == picked) | (same.isnan() & picked.isnan())).all()) and not bool(twice):
            return True
    return False


def picks_alike(indices: torch.Tensor, expected: torch.Tensor, source: torch.Tensor) -> bool:
    """Whether `indices` pick the same elements in the same order out of `source` as `expected` does along
    some dimension, none of them twice."""
    if not (indices.shape == expected.shape == source.shape) or indices.dtype != expected.dtype:
        return False
    for dim in range(source.ndim):
        if bool(((indices < 0) | (indices >= source.shape[dim])).any()):
            continue
        ours, theirs = torch.gather(source, dim, indices), torch.gather(source, dim, expected)
        twice = (indices.sort(dim).values.diff(dim=dim) == 0).any()
        if bool(((ours == theirs) | (ours.isnan() & theirs.isnan())).all()) and not bool(twice):
            return True
    return False


def _tensor_difference(
    ours: torch.Tensor,
    native: torch.Tensor,
    reference: torch.Tensor | None,
    terms: Terms,
    nearby: OfResult | None,
) -> str | None:
    if ours.dtype != native.dtype:
        return f"dtype {ours.dtype} instead of {native.dtype}"
    if ours.shape != native.shape:
        return f"shape {list(ours.shape)} instead of {list(native.shape)}"
    if ours.layout != native.layout:
        return f"layout {ours.layout} instead of {native.layout}"
    if ours.layout != torch.strided:
        ours, native, reference = ours.to_dense(), native.to_dense(), None
    if not native.numel():
        return None
    parts = native.is_complex()
    ours, native = parts_of(ours), parts_of(native)
    reference = None if reference is None else parts_of(reference)
    if reference is not None and reference.shape != native.shape:
        reference = None
    if not native.is_floating_point() or ours.dtype not in UNITS:
        same = ours.double() == native.double() if native.is_floating_point() else ours == native
        same |= ours.isnan() & native.isnan()
        if reference is not None and native.is_floating_point():
            same |= ours.double() == reference.to(ours.dtype).double()
        elif reference is not None and reference.dtype == ours.dtype:
            same |= bool(torch.equal(ours, reference))
        return None if bool(same.all()) else _described(ours, native, ~same)
    wrong = ~_near(ours, native, reference, terms, nearby, parts)
    return _described(ours, native, wrong) if bool(wrong.any()) else None


def _near(
    ours: torch.Tensor,
    native: torch.Tensor,
    reference: torch.Tensor | None,
    terms: Terms,
    nearby: OfResult | None,
    parts: bool,
) -> torch.Tensor:
    """Where our elements are right."""
    right = (ours == native) | (ours.isnan() & native.isnan())
    if terms.undefined:
        right |= native.isnan()
    if bool(right.all()):
        return right
    judged = reference if reference is not None and reference.is_floating_point() else None

    yardstick = Yardstick(
        exact=native if judged is None else judged,
        native=None if judged is None else native,
        nearby=nearby,
        calls=terms.calls,
        factor=terms.factor,
        parts=parts,
    )
    return right | yardstick.right(ours)


def _described(ours: torch.Tensor, native: torch.Tensor, wrong: torch.Tensor) -> str:
    """How many elements are wrong, and the first of them."""
    first = tuple(int(k) for k in wrong.nonzero()[0]) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.numel()} elements are wrong, first at {list(first)}: "
        f"{ours[first].item()!r} instead of {native[first].item()!r}"
    )

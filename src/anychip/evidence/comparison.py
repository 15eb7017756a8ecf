"""Whether a result is right. Flows in: our result, PyTorch's in the same type, PyTorch's in float64,
and what is known of the rounding on the way. Flows out: nothing, or what differs and by how much.

Floating results may miss the float64 reference by a bound made of the unit of rounding of the result's
type, once for every operator called on the way, and of the unit of the computing type times the root of
the number of terms; and by FOREIGN times the error that PyTorch itself makes at that element, which is
how badly conditioned the function is there. Everything else is equal or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

ROUNDING = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}
"""Largest relative error of one rounding to the type."""

COMPUTED = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""The type in which values of a type are computed, where it is another."""

FUNCTION = 16.0
"""Roundings of the computing type allowed for a function itself: PyTorch's vectorised ones have up to
4 ULP, and so may ours."""

FOREIGN = 4.0
"""Multiple of PyTorch's own error that is allowed."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What the tolerance is made of: `calls` of operators on the way, `length` terms of the longest sum,
    whether an element depends on the elements at its own place alone, a record's `factor` for operators
    that amplify rounding, whether any value may stand where PyTorch gives NaN, and whether PyTorch's
    largest relative error is granted everywhere."""

    calls: int = 1
    length: int = 1
    pointwise: bool = False
    factor: float = 1.0
    undefined: bool = False
    cancelling: bool = False

    def relative(self, dtype: torch.dtype) -> float:
        """Error relative to a result's own size."""
        computed = ROUNDING[COMPUTED.get(dtype, dtype)]
        once = 2.0 * ROUNDING[dtype] if dtype in COMPUTED else 0.0
        return self.factor * (max(1, self.calls) * once + FUNCTION * computed * self.length**0.5)

    def absolute(self, dtype: torch.dtype, scale: float) -> float:
        """Error independent of a result's size, for values of about `scale`: what cancels leaves it."""
        computed = FUNCTION * ROUNDING[COMPUTED.get(dtype, dtype)]
        if self.pointwise and self.calls <= 1:
            return self.factor * computed
        rounded = 2.0 * self.calls * ROUNDING[dtype] if dtype in COMPUTED else 0.0
        return self.factor * scale * (computed * self.length**0.5 * max(1, self.calls) ** 0.5 + rounded)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors of a nested value."""
    return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]


def largest(value: Any) -> float:
    """The largest finite magnitude among the floating tensors of a nested value, at least 1."""
    found = 1.0
    for x in tensors_in(value):
        if x.is_floating_point() and x.layout == torch.strided and x.numel():
            finite = torch.nan_to_num(x.detach().double(), nan=0.0, posinf=0.0, neginf=0.0)
            found = max(found, float(finite.abs().max()))
    return found


def difference(actual: Any, native: Any, reference: Any, bound: Bound, scale: float = 1.0) -> str | None:
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
            fault = _tensor_difference(x, y, z if isinstance(z, torch.Tensor) else None, bound, scale)
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
    ours: torch.Tensor, native: torch.Tensor, reference: torch.Tensor | None, bound: Bound, scale: float
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
    ours, native = ours.detach().resolve_conj(), native.detach().resolve_conj()
    reference = None if reference is None else reference.detach().resolve_conj()
    if reference is not None and (
        reference.shape != native.shape or reference.is_complex() != native.is_complex()
    ):
        reference = None
    if native.is_complex():
        ours, native = torch.view_as_real(ours), torch.view_as_real(native)
        reference = None if reference is None else torch.view_as_real(reference)
    if not native.is_floating_point():
        if torch.equal(ours, native):
            return None
        if reference is not None and reference.dtype == ours.dtype and torch.equal(ours, reference):
            return None
        return _described(ours, native, ours != native)
    wrong = ~_near(ours, native, reference, bound, scale)
    return _described(ours, native, wrong) if bool(wrong.any()) else None


def _near(
    ours: torch.Tensor, native: torch.Tensor, reference: torch.Tensor | None, bound: Bound, scale: float
) -> torch.Tensor:
    """Where our elements are right."""
    dtype = ours.dtype if ours.dtype in ROUNDING else torch.float32
    relative = bound.relative(dtype)
    absolute = bound.absolute(dtype, max(scale, largest(native)))
    x, y = ours.double(), native.double()
    same = (x == y) | (x.isnan() & y.isnan())
    near = (x - y).abs() <= absolute + relative * y.abs()
    right = same | (near & x.isfinite() & y.isfinite())
    if bound.undefined:
        right |= y.isnan()
    if reference is None or not reference.is_floating_point():
        return right
    z = reference.to(ours.dtype).double()
    exact = reference.double()
    right |= (x == z) | (x.isnan() & z.isnan())
    foreign = torch.where(y.isfinite() & exact.isfinite(), (y - exact).abs(), 0.0)
    if bound.cancelling and foreign.numel():
        size = exact.abs().clamp(min=1.0)
        foreign = (foreign / size).nan_to_num().max() * size
    close = (x - exact).abs() <= absolute + relative * exact.abs() + FOREIGN * foreign
    return right | (close & x.isfinite() & exact.isfinite())


def _described(ours: torch.Tensor, native: torch.Tensor, wrong: torch.Tensor) -> str:
    """How many elements are wrong, and the first of them."""
    first = tuple(int(k) for k in wrong.nonzero()[0]) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.numel()} elements are wrong, first at {list(first)}: "
        f"{ours[first].item()!r} instead of {native[first].item()!r}"
    )

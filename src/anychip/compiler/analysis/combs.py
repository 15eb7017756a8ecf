"""Stores of the fields of records, found apart in one look. A kernel that writes element `f` of each record
of a batch has a store a field, and asking every pair of hundreds whether they overlap takes longer than
compiling them. Flows in: accesses along one axis. Flows out: whether a new one surely touches nothing that
earlier ones touch."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..ir.core import Value
from .polynomial import Polynomial
from .structure import Linear


class _Comb(NamedTuple):
    """An access of every `step`-th element from `rest` + `first` on."""

    root: Value
    step: int
    rest: Polynomial
    first: int


class Combs:
    """Accesses that touch no common element; `distinct` are pairs of arguments that are no one tensor.
    `joins` adds one where that is sure, and else says no: then pairs have to be looked at."""

    def __init__(self, distinct: Collection[frozenset[Value | None]]):
        self._distinct = distinct
        self._found: dict[Value, tuple[int, Polynomial, set[int]]] = {}
        self._all = True

    def joins(self, root: Value | None, form: Linear) -> bool:
        """Whether the access of a root and form is surely apart from all before."""
        comb = _comb(root, form)
        if comb is None or not self._all:
            self._all = False
            return False
        own = self._found.get(comb.root)
        if own is None:
            own = self._found[comb.root] = (comb.step, comb.rest, set())
            if not all(
                frozenset((comb.root, other)) in self._distinct
                for other in self._found
                if other is not comb.root
            ):
                self._all = False
                return False
        step, rest, taken = own
        if step != comb.step or rest != comb.rest or comb.first % step in taken:
            self._all = False
            return False
        taken.add(comb.first % step)
        return True


def _comb(root: Value | None, form: Linear) -> _Comb | None:
    if root is None or form.base is None or form.wrapped or len(form.strides) != 1:
        return None
    step = form.strides[0].as_int if form.strides[0] is not None else None
    if not step:
        return None
    first = dict(form.base.terms).get((), 0)
    return _Comb(root, abs(step), form.base - Polynomial.constant(first), first)

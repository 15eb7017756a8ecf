"""Address structure of tiles: strides, wrapped axes, movements of elements; bit fields of reshapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import triton
import triton.language as tl
from hypothesis import given
from hypothesis import strategies as st
from tests.ttir import ttir_of

from anychip.compiler.analysis.polynomial import Polynomial
from anychip.compiler.analysis.structure import Linear, Structure, identity_point, reshape_groups
from anychip.compiler.ir.core import Func
from anychip.compiler.ir.parser import parse
from anychip.compiler.schedule.carry import rewrite_carried


def parsed(kernel: triton.JITFunction) -> Func:
    """`kernel(p, n, s, t)`, p a pointer to i32."""
    types: dict[str, str] = dict(zip(kernel.arg_names, ("*i32", "i32", "i32", "i32")))
    func = parse(ttir_of(kernel, types)).kernel
    rewrite_carried(func.body)
    return func


def stored_to(kernel: triton.JITFunction) -> tuple[str, list[str], set[int]]:
    """Base, strides and wrapped axes of the last store's pointer."""
    func = parsed(kernel)
    stores = [op for op in func.body.walk() if op.name == "tt.store" and op.operands[0].shape]
    pointer = stores[-1].operands[0]
    rank = len(pointer.shape)
    linear = Structure().of(pointer, identity_point(rank), rank)
    return _text(linear.base, func), [_text(s, func) for s in linear.strides], set(linear.wrapped)


def _text(polynomial: Polynomial | None, func: Func) -> str:
    if polynomial is None:
        return "?"
    names = {id(arg): arg.name for arg in func.args}
    terms = []
    for monomial, coefficient in polynomial.terms:
        letters = "*".join(sorted(names.get(k, "x") for k in monomial))
        terms.append(
            f"{coefficient}*{letters}" if letters and coefficient != 1 else letters or str(coefficient)
        )
    return " + ".join(sorted(terms)) or "0"


@triton.jit
def row(p, n, s, t):
    tl.store(p + n + tl.arange(0, 8), 0)


@triton.jit
def matrix(p, n, s, t):
    tl.store(p + tl.arange(0, 4)[:, None] * s + tl.arange(0, 8)[None, :] * t + 3, 0)


@triton.jit
def backwards(p, n, s, t):
    tl.store(p + (n - 1 - tl.arange(0, 8)), 0)


@triton.jit
def scaled_twice(p, n, s, t):
    tl.store(p + (tl.arange(0, 8) * s + n) * 2, 0)


@triton.jit
def wide(p, n, s, t):
    tl.store(p + (tl.arange(0, 8).to(tl.int64) + n) * s, 0)


@triton.jit
def modulo(p, n, s, t):
    tl.store(p + (n + tl.arange(0, 8)) % s, 0)


@triton.jit
def quotient(p, n, s, t):
    tl.store(p + (tl.arange(0, 4)[:, None] * 4 + tl.arange(0, 4)[None, :]) // s, 0)


@triton.jit
def product_of_indices(p, n, s, t):
    tl.store(p + tl.arange(0, 4)[:, None] * tl.arange(0, 8)[None, :], 0)


@triton.jit
def transposed(p, n, s, t):
    tl.store(tl.trans(p + tl.arange(0, 4)[:, None] * s + tl.arange(0, 8)[None, :]), 0)


@triton.jit
def reshaped(p, n, s, t):
    tl.store(tl.reshape(p + tl.arange(0, 32) * t, [4, 8]), 0)


@triton.jit
def regrouped(p, n, s, t):
    tl.store(tl.reshape(p + tl.arange(0, 4)[:, None] * s + tl.arange(0, 8)[None, :], [2, 2, 8]), 0)


@triton.jit
def flattened(p, n, s, t):
    tl.store(tl.ravel(p + tl.arange(0, 4)[:, None] * s + tl.arange(0, 8)[None, :]), 0)


@triton.jit
def loaded(p, n, s, t):
    tl.store(p + tl.load(p + tl.arange(0, 4))[:, None] + tl.arange(0, 8)[None, :], 0)


@triton.jit
def narrowed(p, n, s, t):
    tl.store(p + tl.arange(0, 256).to(tl.int8), 0)


@triton.jit
def wandering(p, n, s, t):
    q = p + tl.arange(0, 8) * s
    for _ in range(n):
        tl.store(q, 0)
        q += t


@pytest.mark.parametrize(
    ("kernel", "base", "strides"),
    [
        (row, "n + p", ["1"]),
        (matrix, "3 + p", ["s", "t"]),
        (backwards, "-1 + n + p", ["-1"]),
        (scaled_twice, "2*n + p", ["2*s"]),
        (wide, "n*s + p", ["s"]),
        (quotient, "?", ["?", "?"]),
        (product_of_indices, "?", ["?", "?"]),
        (transposed, "p", ["1", "s"]),
        (reshaped, "p", ["8*t", "t"]),
        (regrouped, "p", ["2*s", "s", "1"]),
        (flattened, "?", ["?"]),
        (loaded, "?", ["?", "1"]),
        (narrowed, "?", ["?"]),
        (wandering, "p + x", ["s"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_structure(kernel: triton.JITFunction, base: str, strides: list[str]) -> None:
    found_base, found_strides, wrapped = stored_to(kernel)
    assert found_strides == strides
    assert found_base == base
    assert not wrapped


def test_modulo_is_linear_up_to_wrapping() -> None:
    base, strides, wrapped = stored_to(modulo)
    assert (base, strides, wrapped) == ("?", ["1"], {0})


def test_a_broadcast_value_does_not_depend_on_the_new_axis() -> None:
    """Pointers that were loaded for each row differ from row to row, not along a row."""
    func = parsed(loaded)
    pointer = [op for op in func.body.walk() if op.name == "tt.store"][-1].operands[0]
    assert pointer.defining_op is not None
    made = [(v, v.defining_op) for v in pointer.defining_op.operands]
    column = next(v for v, op in made if op is not None and op.name == "tt.broadcast")
    assert Structure().of(column, identity_point(2), 2).strides in (
        (None, Polynomial()),
        (Polynomial(), Polynomial.constant(1)),
    )


POWERS = st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4)


@given(source=POWERS, order=st.randoms())
def test_reshape_groups_are_the_bits_of_the_flat_index(source: list[int], order: object) -> None:
    size = math.prod(source)
    bits, target = size.bit_length() - 1, []
    while bits:
        part = order.randint(1, bits)  # type: ignore[attr-defined]
        target.append(1 << part)
        bits -= part
    for _ in range(order.randint(0, 2)):  # type: ignore[attr-defined]
        target.insert(order.randint(0, len(target)), 1)  # type: ignore[attr-defined]
    target = target or [1]
    groups = reshape_groups(tuple(source), tuple(target))
    flat = np.arange(size).reshape(target)
    expected = np.unravel_index(flat, source)
    at = np.indices(target)
    for fields, axis_index in zip(groups, expected, strict=True):
        index = np.zeros(target, dtype=np.int64)
        for axis, low, count in fields:
            index = index << count | (at[axis] >> low & (1 << count) - 1)
        np.testing.assert_array_equal(index, axis_index)


def test_identity_point() -> None:
    assert [linear.strides for linear in identity_point(2)] == [
        (Polynomial.constant(1), Polynomial()),
        (Polynomial(), Polynomial.constant(1)),
    ]
    assert Linear(Polynomial(), (Polynomial(),)).is_uniform

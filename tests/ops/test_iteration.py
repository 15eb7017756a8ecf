"""Coalescing visits the same elements: the set of offsets is compared with that of the full shape."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from anychip.ops.errors import ArgumentError
from anychip.ops.iteration import (
    Space,
    broadcast_shape,
    broadcast_strides,
    coalesce,
    power_of_two,
    second_innermost,
)

shapes = st.lists(st.integers(1, 4), min_size=0, max_size=5)


def offsets(sizes: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The operands' offsets at every index."""
    return sorted(
        tuple(sum(i * s for i, s in zip(index, operand, strict=True)) for operand in strides)
        for index in itertools.product(*map(range, sizes))
    )


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    shape = tuple(draw(shapes))
    operands = []
    for _ in range(draw(st.integers(1, 3))):
        order = draw(st.permutations(range(len(shape))))
        strides = [0] * len(shape)
        step = 1
        for d in order:
            strides[d] = step
            step *= shape[d] + draw(st.integers(0, 1))
        operands.append(tuple(draw(st.sampled_from([s, 0])) for s in strides))
    return Space(shape, tuple(operands))


@given(spaces())
def test_coalesced_space_visits_the_same_elements(space: Space) -> None:
    for reorder in (True, False):
        merged = coalesce(space.sizes, space.strides, reorder)
        assert offsets(merged.sizes, merged.strides) == offsets(space.sizes, space.strides)
        assert len(merged.sizes) <= max(1, len(space.sizes))


@given(spaces())
def test_second_innermost_visits_the_same_elements(space: Space) -> None:
    moved = second_innermost(space)
    assert offsets(moved.sizes, moved.strides) == offsets(space.sizes, space.strides)


def test_contiguous_dimensions_merge_to_one() -> None:
    assert coalesce((2, 3, 4), [(12, 4, 1), (12, 4, 1)]) == Space((24,), ((1,), (1,)))
    assert coalesce((2, 3, 4), [(12, 4, 1), (0, 0, 1)]) == Space((6, 4), ((4, 1), (0, 1)))


def test_broadcast_strides_are_zero() -> None:
    assert broadcast_strides((3, 1), (1, 1), (2, 3, 4)) == (0, 1, 0)


@given(st.integers(0, 1 << 40))
def test_power_of_two(value: int) -> None:
    result = power_of_two(value)
    assert result >= max(value, 1)
    assert result & (result - 1) == 0
    assert result < 2 * max(value, 1)


@given(st.lists(st.lists(st.sampled_from((0, 1, 1, 3)), max_size=3), max_size=3))
def test_shapes_are_broadcast_as_pytorch_does(shapes: list[list[int]]) -> None:
    try:
        expected = tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        with pytest.raises(ArgumentError, match="cannot be broadcast"):
            broadcast_shape(*shapes)
    else:
        assert broadcast_shape(*shapes) == expected

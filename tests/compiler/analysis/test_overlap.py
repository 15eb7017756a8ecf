"""Lattices of addresses that meet or not, against every pair of their points."""

from __future__ import annotations

import itertools

import pytest

from anychip.compiler.analysis.overlap import _steps_make


@pytest.mark.parametrize("sizes", [(3, 4), (2, 5), (4, 1), (1, 1)])
@pytest.mark.parametrize("strides", [(16, 1), (7, 2), (12, 3)])
def test_distances_that_steps_make(strides, sizes):
    steps = sorted(((s, n) for s, n in zip(strides, sizes, strict=True) if n > 1), reverse=True)
    lattice = {
        sum(s * k for s, k in zip(strides, place, strict=True))
        for place in itertools.product(*map(range, sizes))
    }
    for distance in range(60):
        moved = {point + distance for point in lattice}
        assert _steps_make(distance, steps) == bool(lattice & moved)

"""Counting and recording of launches, through the native launcher and through Python's."""

from __future__ import annotations

import gc

import pytest
import torch
from tests.runtime import handwritten

from anychip.runtime import launch, launches
from anychip.runtime.slots import SKIP, Slot


@pytest.fixture
def kernel(request):
    name = f"counted_{request.node.name}"
    return handwritten.function(name, handwritten.TALLY, ("!tt.ptr<i64>",))


def caller(kernel):
    call = launch.launcher((Slot.POINTER, SKIP), kernel.arg_types, kernel.name)
    return lambda out, *grid: call(*grid, 0, kernel.address, None, None, None, None, out, "constant")


def test_launches_are_counted_by_kernel(kernel):
    out = torch.zeros(4, dtype=torch.int64)
    total = launches.count()
    for _ in range(3):
        caller(kernel)(out, 5, 1, 1)
    assert launches.count(kernel.name) == 3
    assert launches.by_kernel()[kernel.name] == 3
    assert launches.count() == total + 3
    assert launches.count("never launched") == 0


def test_grids_without_programs_are_not_launches(kernel):
    caller(kernel)(torch.zeros(4, dtype=torch.int64), 0, 5, 1)
    assert launches.count(kernel.name) == 0


def test_counts_outlive_the_kernel(kernel):
    caller(kernel)(torch.zeros(4, dtype=torch.int64), 1, 1, 1)
    name, number = kernel.name, launches.count()
    del kernel
    gc.collect()
    assert launches.count() == number
    assert name in launches.by_kernel()


def test_recorders_see_kernel_grid_and_arguments_in_order(kernel):
    out = torch.zeros(4, dtype=torch.int64)
    call = caller(kernel)
    call(out, 9, 9, 9)
    with launches.record() as outer:
        call(out, 1, 2, 3)
        with launches.record() as inner:
            call(out, 4, 5, 6)
    call(out, 9, 9, 9)
    assert [entry.grid for entry in outer] == [(1, 2, 3), (4, 5, 6)]
    assert [entry.grid for entry in inner] == [(4, 5, 6)]
    assert outer[0].kernel == kernel.name
    assert outer[0].arguments[0] is out
    assert outer[0].arguments[1] == "constant"
    assert out[0] == 2 * 729 + 6 + 120


def test_a_recorder_closes_when_its_block_raises(kernel):
    with pytest.raises(KeyError), launches.record() as seen:
        raise KeyError
    caller(kernel)(torch.zeros(4, dtype=torch.int64), 1, 1, 1)
    assert seen == []
    assert not launches.is_recording()

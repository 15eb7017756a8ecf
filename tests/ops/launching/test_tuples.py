"""Kernels that take tuples of sizes and strides: native code launches them, and what is compiled is known by
the classes of the numbers in the tuples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import triton
import triton.language as tl

from anychip.ops.launching import launch, planned_launches
from anychip.ops.launching.unplanned import _key
from anychip.ops.registry import overloads
from anychip.tune.trial import values_of


@triton.jit
def combined(out, source, numbers, BLOCK: tl.constexpr):
    first, second = numbers
    lane = tl.arange(0, BLOCK)
    value = tl.load(source + lane)
    tl.store(out + lane, value * first + second)


def test_a_plan_with_tuples_is_launched_by_native_code() -> None:
    x, y = torch.rand(6, 40).t()[::2], torch.rand(20, 6)
    add = overloads()["add.Tensor"][1].implementation
    with planned_launches() as seen:
        results = [add(x, y), add(x, y)]
    assert all(torch.equal(result, x + y) for result in results)
    plan = seen[0][0]
    assert sum(isinstance(size, tuple) for size in plan.sizes) == 2
    assert [type(ready[0]).__name__ for ready in plan.ready.values()] == ["builtin_function_or_method"]


@pytest.mark.parametrize("numbers", [(3, 5), (7, 9), (1, 5), (16, 5), (1 << 40, 5), (3, 1)])
def test_launches_without_a_plan_take_tuples_of_every_class(numbers: tuple[int, int]) -> None:
    source, out = torch.arange(16), torch.empty(16, dtype=torch.int64)
    for _ in range(2):
        launch(combined, 1, out.zero_(), source, numbers, BLOCK=16)
        assert torch.equal(out, source * numbers[0] + numbers[1])


def test_tuples_of_one_class_share_what_is_compiled() -> None:
    def key(*numbers: int) -> tuple[object, ...]:
        return _key(combined, (torch.Tensor(), numbers), {})

    assert key(3, 5) == key(7, 9)
    assert len({key(3, 5), key(1, 5), key(16, 5), key(1 << 40, 5), key(3, 1), key(3, 5, 7)}) == 6


def test_the_cost_model_sees_the_values_of_tuples_one_by_one() -> None:
    source = SimpleNamespace(
        signature={"x": "*fp32", "sizes": ("i32", "constexpr", "fp32"), "N": "constexpr"}
    )
    assert values_of(source, {"x": "tensor", "sizes": (3, 1, 0.5), "N": 16}) == ("tensor", 3, 0.5)

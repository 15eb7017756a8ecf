"""Every fused operator of every room against a plain PyTorch composition in float64, its gradients included.
Every call must have launched kernels of ours."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from anychip.evidence import fused
from anychip.ops.errors import RegistryError
from anychip.ops.fused import Fused
from anychip.ops.pointwise_kernels import flat_kernel
from anychip.ops.rooms import ROOMS, everywhere

ONE_IN = 3
"""One in so many operators with kernels of their own is tried in a second dtype."""


def named(operator: Fused, dtype: torch.dtype) -> object:
    return pytest.param(operator, dtype, id=f"{operator.room}.{operator.name}-{str(dtype)[6:]}")


def few() -> Iterator[object]:
    """Each operator in its first dtype; of those with kernels that no operator before them has, every third
    in one other, too: the last or the last but one in turns. Formulas, whose code is generated alike for all,
    are tried in one dtype in turns, and of a family of functions of numbers, which share kernels that are
    compiled for each, the first."""
    seen: set[object] = set()
    of_numbers: set[str] = set()
    new = 0
    for place, operator in enumerate(everywhere().values()):
        if operator.transforms:
            yield named(operator, operator.dtypes[place % len(operator.dtypes)])
            continue
        if flat_kernel in operator.kernels:
            if operator.family in of_numbers:
                continue
            of_numbers.add(operator.family)
        yield named(operator, operator.dtypes[0])
        if len(operator.dtypes) > 1 and not seen.issuperset(operator.kernels):
            if new % ONE_IN == 0:
                yield named(operator, operator.dtypes[-1 - new // ONE_IN % 2])
            new += 1
        seen.update(operator.kernels)


CASES = [named(operator, dtype) for operator in everywhere().values() for dtype in operator.dtypes]


@pytest.mark.parametrize(("operator", "dtype"), list(few()))
def test_agrees_with_float64(operator: Fused, dtype: torch.dtype) -> None:
    finding = fused.prove(operator, dtype, fused.sparing(operator, dtype))
    assert finding.passed, finding.failures
    assert finding.gradients or not operator.differentiable


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "dtype"), CASES)
def test_agrees_with_float64_in_every_sample(operator: Fused, dtype: torch.dtype) -> None:
    finding = fused.prove(operator, dtype)
    assert finding.failures == []


def test_a_wrong_operator_is_found() -> None:
    right = everywhere()["llm.rms_norm"]
    assert fused.prove(right, torch.float32).passed
    wrong = replace(right, reference=lambda x, weight, *rest: right.reference(x, weight * 1.001, *rest))
    assert any("result 0" in reason for reason in fused.prove(wrong, torch.float32).failures)
    shifted = replace(right, reference=lambda x, weight, *rest: right.reference(x, weight.detach(), *rest))
    assert any("gradient 1" in reason for reason in fused.prove(shifted, torch.float32).failures)
    idle = replace(right, function=right.reference)
    assert any("no kernel" in reason for reason in fused.prove(idle, torch.float64).failures)


def test_names_are_attributes_of_the_room() -> None:
    for name, room in ROOMS.items():
        package = importlib.import_module(room.package)
        for one, operator in room.operators().items():
            assert getattr(package, one) is operator.function
            assert operator.room == name
        with pytest.raises(AttributeError, match="nothing_like_it"):
            _ = package.nothing_like_it


def test_a_name_is_registered_once() -> None:
    with pytest.raises(RegistryError, match=r"'rms_norm' of anychip.llm is registered twice"):
        ROOMS["llm"].register(everywhere()["llm.rms_norm"])

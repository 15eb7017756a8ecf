"""Numbers that differ from call to call are served natively, and arrive: against PyTorch's own kernels."""

from __future__ import annotations

import dataclasses
import math
import struct

import pytest
import torch
from tests.pytorch.eager.calling import site

from anychip.pytorch.eager import numbers
from anychip.pytorch.eager.recording import Place, Step, Trace
from anychip.pytorch.eager.structures import Container
from anychip.pytorch.policy import disabled

pytestmark = pytest.mark.usefixtures("recording_anew")


def bits(number: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", number))[0]


SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 5e-324 * 5, 1e-310, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_number_that_differs_each_time(dtype: torch.dtype) -> None:
    x, first, second = (torch.rand(33, 5).add(0.5).to(dtype) for _ in range(3))
    for step in range(1, 12):
        value = -1e-3 / (1 - 0.9**step)
        ours = torch.addcdiv(x, first, second, value=value)
        with disabled():
            wanted = torch.addcdiv(x, first, second, value=value)
        torch.testing.assert_close(ours, wanted)
    assert site("addcdiv").native_calls >= 7
    assert site("addcdiv").served == 1, "one record serves all numbers"
    for value in SPECIAL:
        ours = torch.addcdiv(x, first, second, value=value)
        with disabled():
            wanted = torch.addcdiv(x, first, second, value=value)
        torch.testing.assert_close(ours, wanted, equal_nan=True)


def test_numbers_beside_tensors_and_several_of_them() -> None:
    x, y = torch.rand(40), torch.rand(40)
    for step in range(1, 10):
        number, alpha = 0.3 * step, 0.7 / step
        for call in (
            lambda n=number: x * n,
            lambda n=number: n / y,
            lambda n=number, a=alpha: torch.add(x, n, alpha=a),
            lambda n=number, a=alpha: torch.sub(x, y, alpha=a * n),
            lambda n=number: torch.lerp(x, y, n),
        ):
            ours = call()
            with disabled():
                wanted = call()
            torch.testing.assert_close(ours, wanted)
    assert site("mul.Tensor").native_calls >= 4
    assert site("lerp.Scalar").native_calls >= 4
    assert site("add.Tensor").native_calls >= 4


def test_an_optimizer_whose_step_sizes_change_is_native() -> None:
    torch.manual_seed(1)
    start = torch.randn(12, 7)
    gradients = [torch.randn(12, 7) for _ in range(12)]

    def train() -> torch.Tensor:
        weights = torch.nn.Parameter(start.clone())
        optimizer = torch.optim.AdamW([weights], lr=1e-2, foreach=False)
        for gradient in gradients:
            weights.grad = gradient.clone()
            optimizer.step()
        return weights.detach()

    ours = train()
    assert site("addcdiv_").native_calls >= 8
    with disabled():
        wanted = train()
    torch.testing.assert_close(ours, wanted)


# ---- traces ---------------------------------------------------------------------------------------


def trace(*slots: int) -> Trace:
    step = Step(1, (1, 1, 1), slots, ((0, Place("input", 0, 0)),))
    return Trace((step,), (), Container.NOTHING, (), (), (), (), (), ())


def test_a_number_is_found_in_its_slots() -> None:
    given = numbers.of_values([0.1, 1.0, 3, "x", 0.7])
    assert given == (bits(0.1), bits(0.7))
    found = numbers.handed(trace(0, bits(0.7) - (1 << 64), 9, bits(0.1), bits(0.7)), given)
    assert found is not None
    assert found.steps[0].slots == (0, 0, 9, 0, 0)
    assert found.steps[0].numbers == ((1, 1), (3, 0), (4, 1))
    assert found.numbers == 2


def test_a_number_that_an_operator_changes_is_noticed() -> None:
    given = numbers.of_values([0.1])
    assert numbers.handed(trace(0, bits(-0.1)), given) is None
    assert numbers.handed(trace(bits(0.1), 4), given) is None, "an address is no number"
    nothing = dataclasses.replace(trace(), steps=())
    assert numbers.handed(nothing, given) == nothing
    assert numbers.handed(trace(0, bits(0.1)), given * 2) is None


def test_where_numbers_are_not_handed_on_they_stay_in_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "handed", lambda trace, given: None if given else trace)
    x = torch.rand(9)
    one = site("mul_.Tensor")
    one.structure.open = 1
    try:
        for _ in range(5):
            x.mul_(0.3)
        assert not one.structure.open
        before = one.native_calls
        x.mul_(0.3)
        assert one.native_calls == before + 1
    finally:
        monkeypatch.undo()
        one.forget()
        one.structure.open = 1

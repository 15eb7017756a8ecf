"""What a trace holds, what fingerprints tell, and how a wrong call is made smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

import anychip
from anychip.debug.bisect.calls import OperatorCall
from anychip.debug.bisect.fingerprint import Fingerprint, fingerprint, together
from anychip.debug.bisect.judging import FAULT, RIGHT, judge
from anychip.debug.bisect.reducing import reduced
from anychip.debug.bisect.trace_file import DRAW, INPUT, KERNEL, OPERATOR, Step
from anychip.debug.bisect.tracing import Captured, Tracer, tracing
from anychip.pytorch.policy import policy
from anychip.triton_backend import activate


@pytest.fixture(autouse=True)
def _active() -> None:
    activate()


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal(shape).astype(np.float32))


def test_a_fingerprint_tells_statistics_and_distances() -> None:
    x = drawn(300, 700)
    found = fingerprint(x)
    assert (found.dtype, found.shape, found.nonfinite) == ("float32", (300, 700), 0)
    assert found.rms == pytest.approx(float(x.double().square().mean().sqrt()), rel=1e-6)
    assert found.largest == float(x.abs().max())
    assert found.same(fingerprint(x.t().contiguous().t()))
    for error in (1e-5, 1e-2, 1.0):
        y = x + error * drawn(700, 300).t()
        exact = np.sqrt(np.mean((y.double() - x.double()).numpy() ** 2) / np.mean(y.double().numpy() ** 2))
        assert found.distance(fingerprint(y)) == pytest.approx(exact, rel=0.7)
    assert Fingerprint.from_json(found.to_json()).distance(found) < 1e-3


def test_a_fingerprint_tells_bits_and_their_places() -> None:
    x = drawn(33)
    digest = fingerprint(x).digest
    for k in range(32):
        y = x.clone()
        y[k], y[k + 1] = x[k + 1], x[k]
        assert fingerprint(y).digest != digest
        z = x.clone()
        z.view(torch.int32)[k] ^= 1 << k
        assert fingerprint(z).digest != digest
    x[4], x[5] = float("nan"), float("inf")
    assert fingerprint(x).nonfinite == 2
    assert np.isinf(fingerprint(x).distance(fingerprint(drawn(33))))
    assert fingerprint(x[:0]).shape == (0,)
    halves = [fingerprint(x) for x in drawn(2, 40)]
    assert together(halves).shape == (80,)
    assert together(halves) != together(halves[::-1])


@triton.jit
def double_kernel(x, y, n, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + k, tl.load(x + k, mask=k < n) * 2, mask=k < n)


def followed(run: Any) -> list[Step]:
    steps: list[Step] = []
    with tracing(Tracer(steps.append)):
        run()
    return steps


def test_steps() -> None:
    x = drawn(40)

    def run() -> None:
        y = torch.empty(40)  # is no step, and no input of one
        double_kernel[(1,)](x, y, 40, B=64)
        z = y.view(5, 8).t()
        z.add_(1.0)
        assert z.sum().item()  # to ask is no step
        torch.rand(40)

    steps = followed(run)
    assert [(s.kind, s.name, s.inputs) for s in steps] == [
        (INPUT, "float32[40]", ()),
        (KERNEL, "double_kernel", (0,)),
        (OPERATOR, "aten.add_.Tensor", (1,)),
        (OPERATOR, "aten.sum.default", (2,)),
        (DRAW, "aten.rand.default", ()),
    ]
    assert steps[1].outputs[0].same(fingerprint(2 * x))
    assert steps[2].outputs[0].same(fingerprint((2 * x + 1).view(5, 8).t()))


def test_the_kernels_of_an_operator_are_no_steps() -> None:
    x = drawn(30)
    plain = followed(lambda: x.mul(x).exp())
    with anychip.using("portable"):
        ours = followed(lambda: x.mul(x).exp())
    assert [s.name for s in ours] == [s.name for s in plain]
    assert {s.kind for s in ours} == {INPUT, OPERATOR}


class Faulty:
    """A matrix product with one wrong element, unless PyTorch is on its own."""

    namespace = "aten"
    _schema = torch.ops.aten.mm.default._schema

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        result = torch.ops.aten.mm.default(x, y)
        if policy() is not None:
            result[0, 0] += 0.5
        return result

    def __str__(self) -> str:
        return "aten.mm.default"


def test_a_wrong_call_is_made_smaller() -> None:
    call = OperatorCall(Faulty(), (drawn(24, 20), drawn(20, 16)), {})
    with anychip.using("portable"):
        captured = Captured(7, "aten.mm.default", call, call.run())
        small = reduced(captured)
    assert small.alone
    assert [list(x.shape) for x in small.saved()["arguments"]] == [[1, 1], [1, 1]]
    assert small.to_json()["elements"] == 2
    assert judge(small.captured).outcome == FAULT
    assert judge(Captured(7, "aten.mm.default", call, call.run())).outcome == RIGHT


def test_the_bound_that_is_broken_is_told() -> None:
    call = OperatorCall(torch.ops.aten.mm.default, (drawn(6, 50), drawn(50, 4)), {})
    outputs = call.run()
    outputs[0][2, 3] += 1e-2
    verdict = judge(Captured(1, "aten.mm.default", call, outputs))
    assert verdict.outcome == FAULT
    assert "1 of 24 elements are wrong, first at [2, 3]" in verdict.text
    assert verdict.bound["error"] == pytest.approx(1e-2, rel=1e-3)
    granted = [value for name, value in verdict.bound.items() if name.startswith("granted")]
    assert len(granted) == 3
    assert 0 < max(granted) < 1e-3

"""Motions in phases of constant jerk against ruckig's recorded durations, and against what they promise:
ends, limits, derivatives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.robot.record_ruckig import FILE, durations, motions

from anychip import robot
from anychip.ops.errors import ArgumentError

RECORD = json.loads(FILE.read_text(encoding="utf-8"))


def planned(arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return robot.jerk_limited_motion(*arguments)


def test_motions_take_as_long_as_ruckigs() -> None:
    arguments = torch.tensor(RECORD["arguments"], dtype=torch.float64)
    seconds, jerks = planned(arguments)
    assert (seconds >= 0).all()
    assert (jerks.abs() <= arguments[6, :, None]).all()
    np.testing.assert_allclose(seconds.sum(-1), RECORD["durations"], rtol=1e-12, atol=1e-12)


def test_motions_end_where_they_should_within_limits() -> None:
    arguments = torch.tensor(motions(300, 1))
    distance, v, a, goal, fastest, largest, _ = arguments
    seconds, jerks = planned(arguments)
    times = torch.linspace(0, 1, 41).double()[:, None] * seconds.sum(-1)
    p, velocity, acceleration = robot.phase_state(torch.zeros(()).double(), v, a, seconds, jerks, times)
    np.testing.assert_allclose(p[-1], distance, atol=1e-12)
    np.testing.assert_allclose(velocity[-1], goal, atol=1e-12)
    assert (velocity.abs() <= fastest * (1 + 1e-12)).all()
    assert (acceleration.abs() <= largest * (1 + 1e-12)).all()


def test_a_state_beyond_limits_is_led_back() -> None:
    arguments = torch.tensor(
        [[1.0, -2.0], [3.0, -0.5], [0.5, -4.0], [0.0, 0.2], [1, 1], [2, 2], [9, 9]]
    ).double()
    distance, v, a, goal, *_ = arguments
    seconds, jerks = planned(arguments)
    p, velocity, acceleration = robot.phase_state(
        torch.zeros(()).double(), v, a, seconds, jerks, seconds.sum(-1)
    )
    np.testing.assert_allclose(p, distance, atol=1e-12)
    np.testing.assert_allclose(velocity, goal, atol=1e-12)
    np.testing.assert_allclose(acceleration, 0.0, atol=1e-12)


def test_times_before_the_start_and_after_the_end() -> None:
    """ruckig goes on backwards before the start; here it is held."""
    one = torch.ones((), dtype=torch.float64)
    seconds, jerks = robot.jerk_limited_stop(one, 0 * one, 2 * one, 4 * one)
    times = torch.tensor([-1.0, 0.0, 50.0, 60.0]).double()
    p, v, a = robot.phase_state(one, one, 0 * one, seconds, jerks, times)
    assert p[0] == p[1] == 1.0
    assert v[:2].tolist() == [1.0, 1.0]
    assert float((p[3] - p[2]).abs()) < 1e-12
    assert a[2:].tolist() == [0.0, 0.0]


@pytest.mark.slow
def test_derivatives_of_both_modes() -> None:
    arguments = torch.tensor(motions(6, 2))
    still, limits = arguments[:4], arguments[4:]

    def seconds(*state: torch.Tensor) -> torch.Tensor:
        return robot.jerk_limited_motion(*state, *limits)[0].sum(-1)

    inputs = tuple(x.clone().requires_grad_() for x in still)
    assert torch.autograd.gradcheck(seconds, inputs, eps=1e-7, atol=1e-4, check_forward_ad=True)


@pytest.mark.peers
def test_many_motions_take_as_long_as_ruckigs() -> None:
    pytest.importorskip("ruckig")
    arguments = motions(3000, 3)
    found = planned(torch.tensor(arguments))[0].sum(-1)
    np.testing.assert_allclose(found, durations(arguments), rtol=1e-11, atol=1e-11)


def test_what_is_refused() -> None:
    x = torch.zeros(3)
    with pytest.raises(ArgumentError, match=r"last dimension must be 4 \(of a stop\) or 11"):
        robot.phase_state(x, x, x, torch.zeros(3, 7), torch.zeros(3, 7), x)
    with pytest.raises(ArgumentError, match="do not broadcast"):
        robot.jerk_limited_stop(x, torch.zeros(2), x, x)

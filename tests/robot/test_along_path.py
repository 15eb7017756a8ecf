"""The quickest way along a path: what it promises, and with the peers, toppra's times."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from anychip import robot
from anychip.ops.errors import ArgumentError


def path(joints: int, seed: int, points: int = 101) -> tuple[CubicSpline, list[torch.Tensor]]:
    draw = np.random.default_rng(seed)
    spline = CubicSpline(np.linspace(0, 1, 5), draw.normal(size=(5, joints)))
    s = np.linspace(0, 1, points)
    limits = draw.uniform(1, 3, joints), draw.uniform(2, 6, joints)
    given = [spline(s, 1), spline(s, 2), np.diff(s), *limits, np.array(0.0), np.array(0.0)]
    return spline, [torch.tensor(x) for x in given]


def test_a_straight_line_is_accelerated_and_braked() -> None:
    points = 201
    slopes = torch.ones(points, 1).double()
    one, still = torch.ones(1).double(), torch.zeros(()).double()
    steps = torch.full((points - 1,), 4 / (points - 1)).double()
    speeds, times = robot.path_timing(slopes, 0 * slopes, steps, 1.5 * one, one, still, still)
    # 1.5 s up to 1.5 m/s, as long down again, and what is left of 4 m at that speed.
    assert abs(float(times[-1]) - (3.0 + (4 - 2.25) / 1.5)) < 1e-3
    assert float(speeds.max()) <= 1.5
    assert speeds[0] == speeds[-1] == 0


def test_limits_hold_and_one_of_them_is_reached() -> None:
    _, given = path(6, 0)
    slopes, bends, steps, fastest, limit = given[:5]
    speeds, _ = robot.path_timing(*given)
    pushed = speeds.square().diff() / (2 * steps)
    acceleration = slopes[:-1] * pushed[:, None] + bends[:-1] * speeds[:-1, None] ** 2
    used = torch.maximum(
        (acceleration.abs() / limit).amax(-1), ((slopes * speeds[:, None]).abs() / fastest).amax(-1)[:-1]
    )
    assert float(used.max()) < 1 + 1e-9
    assert float(used.min()) > 0.5


def test_a_batch_is_its_paths_and_what_cannot_be_done_has_no_number() -> None:
    both = [path(4, seed)[1] for seed in (1, 2)]
    stacked = [torch.stack(x) for x in zip(*both, strict=True)]
    _, times = robot.path_timing(*stacked)
    for one, given in zip(times, both, strict=True):
        torch.testing.assert_close(one, robot.path_timing(*given)[1])
    stacked[5][1] = 1e3
    _, times = robot.path_timing(*stacked)
    assert times[1, -1].isnan()
    assert not times[0].isnan().any()


@pytest.mark.peers
@pytest.mark.parametrize("between", [True, False])
def test_times_are_toppras(between: bool) -> None:
    toppra = pytest.importorskip("toppra")
    for seed in range(4):
        spline, given = path(7, seed)
        scheme = getattr(toppra.constraint.DiscretizationType, "Interpolation" if between else "Collocation")
        limits = [np.stack((-x.numpy(), x.numpy()), 1) for x in given[3:5]]
        constraints = [
            toppra.constraint.JointVelocityConstraint(limits[0]),
            toppra.constraint.JointAccelerationConstraint(limits[1], discretization_scheme=scheme),
        ]
        curve = toppra.SplineInterpolator(np.linspace(0, 1, 5), spline(np.linspace(0, 1, 5)))
        solver = toppra.algorithm.TOPPRA(
            constraints, curve, gridpoints=np.linspace(0, 1, 101), solver_wrapper="seidel"
        )
        _, want, _ = solver.compute_parameterization(0, 0)
        slopes, bends = (torch.tensor(f(np.linspace(0, 1, 101))) for f in (curve.evald, curve.evaldd))
        speeds, times = robot.path_timing(slopes, bends, *given[2:], between)
        # toppra leaves some room to its limits.
        np.testing.assert_allclose(speeds[1:-1], want[1:-1], rtol=1e-4)
        took = np.sum(2 * np.diff(np.linspace(0, 1, 101)) / (want[1:] + want[:-1]))
        np.testing.assert_allclose(times[-1], took, rtol=1e-5)


def test_what_is_refused() -> None:
    _, given = path(3, 0)
    with pytest.raises(ArgumentError, match="steps is"):
        robot.path_timing(given[0], given[1], given[2][1:], *given[3:])
    with pytest.raises(ArgumentError, match="of 2 points or more"):
        robot.path_timing(given[0][:1], given[1][:1], *given[2:])

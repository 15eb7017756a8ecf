"""The controlled stop: limits hold all the way, and the robot rests at the end. The oracle integrates the
jerk by itself."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from anychip.link.errors import LinkError  # noqa: E402
from anychip.link.stop import JerkLimitedStop, RobotStop, brake  # noqa: E402

SPEEDS = st.floats(-5, 5, allow_subnormal=False)


@settings(max_examples=100, deadline=None)
@given(SPEEDS, SPEEDS, st.floats(0.5, 50), st.floats(0.5, 20))
def test_it_rests_within_its_limits(
    velocity: float, acceleration: float, jerk: float, largest: float
) -> None:
    way = brake(1.0, velocity, acceleration, jerk=jerk, largest=largest)
    assert all(abs(each) <= jerk * (1 + 1e-9) and seconds >= 0 for seconds, each in way.phases)
    # Integrate phase by phase with the textbook formulas, and look at the ends and the middle of each.
    p, v, a = 1.0, velocity, acceleration
    allowed = max(abs(acceleration), largest) * (1 + 1e-9)
    for seconds, each in way.phases:
        for part in (0.5, 1.0):
            assert abs(a + each * seconds * part) <= allowed
        p += v * seconds + a * seconds**2 / 2 + each * seconds**3 / 6
        v += a * seconds + each * seconds**2 / 2
        a += each * seconds
    scale = 1 + abs(velocity) + acceleration**2 / jerk
    assert abs(v) < 1e-6 * scale
    assert abs(a) < 1e-6 * scale
    assert way.at(way.seconds + 1)[0] == pytest.approx(p, abs=1e-6 * scale * (1 + way.seconds))


@settings(max_examples=60, deadline=None)
@given(SPEEDS, SPEEDS)
def test_it_never_takes_longer_than_going_to_zero_acceleration_first(
    velocity: float, acceleration: float
) -> None:
    jerk, largest = 10.0, 4.0
    first = abs(acceleration) / jerk
    left = abs(velocity + acceleration * abs(acceleration) / (2 * jerk))
    ramp = 2 * (left / jerk) ** 0.5 if left * jerk <= largest**2 else left / largest + largest / jerk
    assert brake(0.0, velocity, acceleration, jerk=jerk, largest=largest).seconds <= first + ramp + 1e-9


def test_commands_of_a_stop_continue_the_motion() -> None:
    period, stop = 0.02, JerkLimitedStop(50.0, 5.0)
    recent = [np.array([k * 0.01, -k * 0.02]) for k in range(3)]
    stop.begin(recent, period)
    commands = [*recent, *(stop.command((k + 1) * period) for k in range(int(stop.duration() / period) + 3))]
    steps = np.diff(np.array(commands), axis=0)
    assert np.abs(np.diff(steps, axis=0)).max() <= 5.0 * period**2 * 1.001
    assert np.abs(steps[-1]).max() < 1e-12
    assert steps[3:, 0].min() >= -1e-12  # a stop does not turn back


def test_one_command_is_a_robot_at_rest() -> None:
    stop = JerkLimitedStop(50.0, 5.0)
    stop.begin([np.array([0.5])], 0.02)
    assert stop.duration() == 0
    assert stop.command(1.0) == pytest.approx([0.5])


def test_limits_that_are_none() -> None:
    with pytest.raises(LinkError, match="never comes to rest"):
        JerkLimitedStop(0.0, 1.0)


class TestStopOfAWholeRobot:
    """Planned by the operators of `anychip.robot`."""

    pytest.importorskip("torch")
    period = 0.02

    def recent(self) -> list[Any]:
        return [np.array([0.9 + k * 0.01, -k * 0.02, 0.0]) for k in range(3)]

    def test_it_is_the_plain_one_where_limits_are_far(self) -> None:
        far = np.full(3, np.inf)
        ours, plain = RobotStop(50.0, 5.0, -far, far), JerkLimitedStop(50.0, 5.0)
        for stop in (ours, plain):
            stop.begin(self.recent(), self.period)
        assert ours.duration() == pytest.approx(plain.duration(), abs=1e-12)
        for elapsed in np.linspace(0, 1.2 * plain.duration(), 9):
            np.testing.assert_allclose(ours.command(elapsed), plain.command(elapsed), atol=1e-12)

    def test_a_joint_near_its_limit_brakes_harder(self) -> None:
        plain = JerkLimitedStop(50.0, 5.0)
        plain.begin(self.recent(), self.period)
        rest = plain.command(plain.duration())
        near = 0.92 + 0.75 * (rest[0] - 0.92)
        upper = np.array([near, 1.0, 1.0])
        stop = RobotStop(50.0, 5.0, np.full(3, -1.0), upper)
        stop.begin(self.recent(), self.period)
        assert stop.inside.all()
        end = stop.command(stop.duration())
        assert rest[0] > upper[0] >= end[0]
        np.testing.assert_allclose(end[1:], rest[1:], atol=1e-12)
        stop = RobotStop(50.0, 5.0, np.full(3, -1.0), np.array([0.921, 1.0, 1.0]))
        stop.begin(self.recent(), self.period)
        assert stop.inside.tolist() == [False, True, True]

    def test_what_is_refused(self) -> None:
        one = np.ones(2)
        with pytest.raises(LinkError, match="leave no position"):
            RobotStop(1.0, 1.0, one, -one)
        with pytest.raises(LinkError, match="never comes to rest"):
            RobotStop(1.0, 0.0, -one, one)
        with pytest.raises(LinkError, match=r"a command has shape \(3,\)"):
            RobotStop(1.0, 1.0, -one, one).begin([np.zeros(3)], 0.02)

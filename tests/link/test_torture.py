"""The simulated world: no promise is broken under any fault, each fault strikes, and the judge sees what it
is for."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")

from anychip.link.actions import Action, ActionBuffer, Unusable  # noqa: E402
from anychip.link.edge import EdgeMachine  # noqa: E402
from anychip.link.ladder import Ladder  # noqa: E402
from anychip.link.torture.faults import MILLISECOND, SECOND, Fault, Kind, drawn  # noqa: E402
from anychip.link.torture.run import real, virtual  # noqa: E402
from anychip.link.torture.world import World  # noqa: E402
from tools.link.__main__ import hostile  # noqa: E402

BROKEN = ("actions_past_expiry", "replayed", "unordered", "misplaced")


def test_a_short_run_holds_each_fault_once_and_breaks_no_promise() -> None:
    found = virtual(3000)
    assert found["ticks"] == 3000
    assert all(count >= 1 for count in found["faults"].values())
    assert {name: found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert found["well"]
    assert found["actions_executed"] > 1000
    assert found["stops"] > 0
    assert found["recovered"] > 0
    assert found["stops_after_a_cut"] >= 2
    assert found["stop_over_limit_ms"] <= 20


def test_one_seed_is_one_run() -> None:
    assert virtual(600, robots=12, seed=5) == virtual(600, robots=12, seed=5)
    assert virtual(600, robots=12, seed=5) != virtual(600, robots=12, seed=6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_long_runs(seed: int) -> None:
    found = virtual(60_000, seed=seed)
    assert {name: found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert found["well"]
    assert found["actions_executed"] > 15_000


def never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the last look at the clock, which would catch what the buffer lets through."""
    monkeypatch.setattr(EdgeMachine, "confirm", lambda self, command, *others: command)


def forgets_expiry(monkeypatch: pytest.MonkeyPatch) -> str:
    """Actions are kept for ever."""
    take = ActionBuffer.take
    monkeypatch.setattr(
        ActionBuffer, "take", lambda self, tick, now: take(self, tick, min(now, self._expires_at - 1))
    )
    monkeypatch.setattr(
        ActionBuffer, "newest", lambda self, now: self._newest.sequence if self._newest else 0
    )
    never_looks_again(monkeypatch)
    return "actions_past_expiry"


def executes_twice(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where nothing new has come, the last action is executed again."""
    take = ActionBuffer.take
    last: dict[int, Any] = {}

    def again(self: ActionBuffer, tick: int, now: int) -> Action | Unusable:
        found = take(self, tick, now)
        if isinstance(found, Action):
            last[id(self)] = found
        return found if isinstance(found, Action) else last.get(id(self), found)

    monkeypatch.setattr(ActionBuffer, "take", again)
    never_looks_again(monkeypatch)
    return "replayed"


def takes_older_answers(monkeypatch: pytest.MonkeyPatch) -> str:
    """Whatever comes last counts as newest, and is begun at its first action."""

    def offer(self: ActionBuffer, answer: Any, now: int) -> None:
        self._newest, self._expires_at = answer, answer.expires_at

    monkeypatch.setattr(ActionBuffer, "offer", offer)
    return "unordered"


def stops_late(monkeypatch: pytest.MonkeyPatch) -> str:
    """The last position is held for a second more."""
    choose = Ladder.choose

    def late(self: Ladder, tick: int, now: int, *others: Any) -> Any:
        return choose(self, tick, now - SECOND if self.rung == 3 else now, *others)

    monkeypatch.setattr(Ladder, "choose", late)
    return ""


@pytest.mark.parametrize("mistake", [forgets_expiry, executes_twice, takes_older_answers, stops_late])
def test_the_judge_sees_a_machine_that_breaks_a_promise(
    mistake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = mistake(monkeypatch)
    faults = [
        Fault(Kind.REORDERING, robot, 200 * MILLISECOND, 1300 * MILLISECOND, 120 * MILLISECOND)
        for robot in range(0, 8, 2)
    ]
    faults += [Fault(Kind.CUT, robot, 400 * MILLISECOND, 1800 * MILLISECOND) for robot in range(1, 8, 2)]
    world = World(3, 8, 800, faults)
    world.run()
    found = world.judge.result()
    assert not world.judge.is_well
    assert found[count] > 0 if count else found["stop_over_limit_ms"] > 20


def test_a_half_open_connection_is_found_and_made_anew() -> None:
    faults = [Fault(Kind.HALF_OPEN, 0, 400 * MILLISECOND, 900 * MILLISECOND)]
    world = World(1, 1, 100, faults)
    world.run()
    assert world.robots[0].machine.counts["half-open found"] == 1
    assert world.judge.counts["recovered"] == 1


def test_a_robot_that_is_not_troubled_never_leaves_the_top() -> None:
    world = World(1, 4, 600, [])
    world.run()
    for robot in world.robots:
        assert robot.machine.counts["joined"] == 1
        assert len(robot.machine.ladder.steps) <= 3
    assert world.judge.counts["stops"] == 0


def test_faults_are_drawn_from_the_seed() -> None:
    assert drawn(1, 8, 5 * SECOND) == drawn(1, 8, 5 * SECOND)
    assert drawn(1, 8, 5 * SECOND) != drawn(2, 8, 5 * SECOND)
    assert {fault.kind for fault in drawn(4, 64, 940 * MILLISECOND)} == set(Kind)


def test_over_real_connections_by_the_real_clock() -> None:
    pytest.importorskip("websockets")
    found = real(240, robots=4, seed=2)
    assert found["ticks"] >= 240
    assert {name: found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert found["machines"]["asked"] > 0
    assert found["faults"]["server killed"] >= 1


def test_hostile_frames_are_not_accepted() -> None:
    pytest.importorskip("torch")
    found = hostile(1500)
    assert found["accepted"] == 0
    assert found["others_served"]

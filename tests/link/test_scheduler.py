"""Whose turn it is: earliest deadlines first, batches in time, nobody starves."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from anychip.link.scheduler import BatchTimes, Request, Scheduler, stacked  # noqa: E402


def request(owner: int, deadline: int, sequence: int = 1, arrived: int = 0) -> Request:
    return Request(owner, sequence, 0, 0, 0, arrived, deadline, {"state": np.full(2, owner)})


def scheduler(**times: int) -> Scheduler:
    made = Scheduler(8)
    for size, took in times.items():
        made.times.measured(int(size[1:]), took)
    return made


def test_the_earliest_deadline_comes_first() -> None:
    made = scheduler(n1=10, n8=80)
    for owner, deadline in ((1, 300), (2, 100), (3, 200)):
        made.submit(request(owner, deadline))
    batch, lost = made.next_batch(85)
    assert [each.owner for each in batch] == [2]
    assert lost == []


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=20), st.integers(1, 40), st.integers(0, 30))
def test_nobody_in_a_batch_is_late_because_of_the_others(deadlines: list[int], each: int, base: int) -> None:
    made = Scheduler(8)
    for size in range(1, 9):
        made.times.measured(size, base + each * size)
    for owner, deadline in enumerate(deadlines):
        made.submit(request(owner, deadline))
    made._computed = 0
    batch, lost = made.next_batch(0)
    assert {each.request.deadline for each in lost} == {d for d in deadlines if d < base + each}
    assert len(batch) <= 8
    if len(batch) > 1:
        assert base + each * len(batch) <= min(request.deadline for request in batch)
    assert len(batch) + len(lost) + len(made) == len(deadlines)


def test_a_newer_observation_takes_the_place_of_an_older_one() -> None:
    made = scheduler(n1=1)
    assert made.submit(request(1, 100, 1)) is None
    replaced = made.submit(request(1, 120, 2))
    assert replaced is not None
    assert replaced.request.sequence == 1
    assert len(made) == 1


def test_those_who_were_served_least_come_first_when_not_all_can_be() -> None:
    """Ten robots ask in each round, three can be served; one of them always has the latest deadline."""
    made = Scheduler(1)
    made.times.measured(1, 10)
    served: dict[Hashable, int] = dict.fromkeys(range(10), 0)
    now = 0
    for _ in range(300):
        for owner in range(10):
            made.submit(request(owner, now + 35 + owner % 2))
        for _ in range(3):
            batch, _ = made.next_batch(now)
            for each in batch:
                served[each.owner] += 1
            now += 10
        now += 100
    assert min(served.values()) >= 0.9 * max(served.values())


def test_a_newcomer_does_not_come_before_all_others_for_long() -> None:
    made = Scheduler(1)
    made.times.measured(1, 10)
    now = 0
    served: dict[Hashable, int] = {1: 0, 2: 0}
    for round_ in range(200):
        for owner in (1, 2) if round_ >= 100 else (1,):
            made.submit(request(owner, now + 15))
        for each in made.next_batch(now)[0]:
            served[each.owner] += 1
        now += 100
    assert served[1] >= 145


def test_times_of_sizes_that_were_not_measured() -> None:
    times = BatchTimes(16)
    assert times.expected(4) == 0
    times.measured(4, 40)
    assert times.expected(8) == 80
    assert times.expected(2) == 40
    times.measured(8, 60)
    assert times.expected(6) == 60
    for took in range(100):
        times.measured(2, took)
    assert times.expected(2) == 98  # the last 16 are 84 to 99; nine tenths of them are at most 98
    times.measured(2, 40)
    assert times.expected(2) == 40  # quick again


def test_a_machine_that_was_slow_once_is_tried_again() -> None:
    """Where its estimate makes every request hopeless, one is computed now and then all the same."""
    made = scheduler(n1=500)
    made.submit(request(1, 10**9 + 100))
    batch, lost = made.next_batch(10**9)
    assert [each.owner for each in batch] == [1]
    assert lost == []
    made.submit(request(1, 10**9 + 200))
    assert made.next_batch(10**9 + 10)[0] == []
    made.times.measured(1, 20)
    made.submit(request(1, 10**9 + 300))
    assert len(made.next_batch(10**9 + 20)[0]) == 1


def test_stacking() -> None:
    assert stacked([request(1, 1), request(2, 1)])["state"].tolist() == [[1, 1], [2, 2]]

"""The descent finds the best sizes of a made-up machine, within what its cost model leaves and its budget."""

from __future__ import annotations

import math
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from anychip.tune.budget import Budget
from anychip.tune.measure import least
from anychip.tune.search import CHOICES, GAIN, HOPELESS, Expected, Point, Sizes, Space, Step, descend


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    start: Sizes, best: Sizes, space: Space, budget: Budget | None = None
) -> tuple[list[Step], list[Sizes]]:
    measured: list[Sizes] = []

    def measure(candidates: list[Point]) -> list[float | None]:
        measured.extend(cast("list[Sizes]", candidates))
        return [
            1e-3 * 2.0 ** sum(abs(math.log2(int(sizes[name])) - math.log2(best[name])) for name in best)
            for sizes in candidates
        ]

    return list(descend(start, space, measure, budget or Budget(1.0, Clock()))), measured


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(2, 12), st.integers(2, 12))
def test_the_best_sizes_are_found(a: int, b: int, c: int, d: int) -> None:
    start, best = {"m": 1 << a, "n": 1 << b}, {"m": 1 << c, "n": 1 << d}
    steps, _ = run(start, best, Space(bytes=1 << 40))
    assert not steps or steps[-1].best == best or start == best
    if start != best:
        assert steps[-1].best == best


def test_what_the_cost_model_rules_out_is_not_measured() -> None:
    space = Space(bytes=1 << 14, element_bytes=4, elements=1 << 14, programs=4, least=64)
    _, measured = run({"block": 256}, {"block": 1 << 16}, space)
    tried = {sizes["block"] for sizes in measured}
    assert max(tried) == 4096, "larger ones leave the cache"
    few = Space(bytes=1 << 20, element_bytes=4, elements=1 << 12, programs=4)
    _, measured = run({"block": 256}, {"block": 1 << 16}, few)
    assert max(sizes["block"] for sizes in measured) == 1024, "larger ones leave threads without a program"
    _, measured = run({"side": 64}, {"side": 1024}, Space(bytes=1 << 16, sides=frozenset({"side"})))
    assert max(sizes["side"] for sizes in measured) == 128


def test_choices_are_searched_and_points_of_equal_code_are_one() -> None:
    space = Space(bytes=1 << 14, alternatives={"unroll": CHOICES["unroll"], "grid": CHOICES["grid"]})
    measured: list[Point] = []

    def measure(candidates: list[Point]) -> list[float | None]:
        measured.extend(candidates[1:])
        return [2.0 - (point["unroll"] == 8) for point in candidates]

    def expect(point: Point) -> Expected:
        return Expected(None, (point["block"], point["unroll"]))

    start = {"block": 256, "unroll": 0, "grid": ""}
    steps = list(descend(start, space, measure, Budget(1.0, Clock()), expect))
    assert steps[-1].best == {"block": 256, "unroll": 8, "grid": ""}
    assert {point["unroll"] for point in measured} == {0, 1, 2, 4, 8, 16}
    assert {point["grid"] for point in measured} == {""}


def test_what_the_cost_model_expects_to_be_slow_is_not_measured() -> None:
    def measure(candidates: list[Point]) -> list[float | None]:
        return [float(point["block"]) for point in candidates]

    def expect(point: Point) -> Expected:
        return Expected(HOPELESS * 1.01 if point["block"] == 128 else 1.0)

    steps = list(descend({"block": 256}, Space(bytes=1 << 20), measure, Budget(1.0, Clock()), expect))
    assert 128 not in {step.sizes["block"] for step in steps}
    assert steps[0].expected == 1.0


def test_a_product_of_sizes_has_to_fit() -> None:
    space = Space(bytes=1 << 14, element_bytes=4, product=True)
    assert space.admits({"m": 64, "n": 64}, "m")
    assert not space.admits({"m": 128, "n": 64}, "m")


def test_a_small_gain_is_not_taken() -> None:
    def measure(candidates: list[Point]) -> list[float | None]:
        return [1.0, *[GAIN + 0.01] * (len(candidates) - 1)]

    steps = list(descend({"block": 256}, Space(bytes=1 << 20), measure, Budget(1.0, Clock())))
    assert steps
    assert all(step.best == {"block": 256} for step in steps)


def test_candidates_that_fail_are_passed_over() -> None:
    def measure(candidates: list[Point]) -> list[float | None]:
        return [1.0 / int(s["block"]) if int(s["block"]) <= 512 else None for s in candidates]

    steps = list(descend({"block": 128}, Space(bytes=1 << 30), measure, Budget(1.0, Clock())))
    assert steps[-1].best == {"block": 512}


def test_a_spent_budget_ends_the_search() -> None:
    clock = Clock()
    budget = Budget(1.0, clock)
    clock.now = 2.0
    steps, measured = run({"block": 128}, {"block": 512}, Space(bytes=1 << 30), budget)
    assert (steps, measured) == ([], [])
    assert budget.over
    assert budget.spent == 2.0


def test_the_least_time_of_each_is_taken_and_failures_are_left_out() -> None:
    clock = Clock()
    slow, fast = iter([9.0, 9.0, 3.0, 4.0, 5.0]), iter([9.0, 9.0, 2.0, 2.5, 1.5])

    def spend(seconds: float) -> None:
        clock.now += seconds

    def fail() -> None:
        raise ValueError("no such size")

    found = least(
        {"slow": lambda: spend(next(slow)), "fast": lambda: spend(next(fast)), "none": fail},
        Budget(1e9, clock),
        clock,
        rounds=3,
    )
    assert found == {"slow": 3.0, "fast": 1.5}

"""Operators against PyTorch's: what is timed, right and wrong answers, writes, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from anychip.bench import operator_speed
from anychip.bench.arguments import LARGE, RANDOM, SIZES, SMALL, TABLE, arguments
from anychip.bench.errors import BenchmarkError
from anychip.bench.measure import TimingBudget
from anychip.bench.operator_speed import SizedOverload, measure, sized_overloads
from anychip.ops.errors import NotServed
from anychip.ops.launching import launch_counts
from anychip.ops.registry import Operator, Overload, operators, overloads
from anychip.ops.schemas import overload_of


class Clock:
    """A clock on which every call of ours takes one second and every call of PyTorch's `native`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **keywords: Any) -> Any:
            self.now += seconds
            return function(*arguments, **keywords)

        return run


def budget(clock: Clock | None = None) -> TimingBudget:
    quick = TimingBudget(rounds=3, least_rounds=3, sample_seconds=0.0, seconds=0.1, warm_up=1)
    return quick if clock is None else TimingBudget(3, 3, 0.0, 0.1, 1, clock)


def sized(implementation: Callable[..., Any], name: str = "exp") -> SizedOverload:
    """An overload at the small size that some other implementation serves."""
    operator, overload = overloads()[name]
    other = Overload(name, implementation, overload.samples, overload.takes_out)
    return SizedOverload(Operator(operator.name, (other,), (), domain=operator.domain), other, SMALL)


def test_every_overload_at_both_sizes() -> None:
    found = sized_overloads()
    assert {s.overload.name for s in found} == set(overloads())
    assert len(found) == 2 * len(overloads())
    assert {s.size.name for s in sized_overloads(["softmax"], sizes=["large"])} == {"large"}
    assert {s.operator.domain for s in sized_overloads(domains=["scan"])} == {"scan"}
    assert [s.overload.name for s in sized_overloads(["add.Tensor"], sizes=["small"])] == ["add.Tensor"]


@pytest.mark.parametrize("wanted", [{"names": ["axp"]}, {"domains": ["art"]}, {"sizes": ["huge"]}])
def test_unknown_names(wanted: dict[str, list[str]]) -> None:
    with pytest.raises(BenchmarkError, match=r"there is no operator, domain or size (axp|art|huge)"):
        sized_overloads(**wanted)


def test_tables_name_overloads_that_are_served() -> None:
    assert set(TABLE) - set(overloads()) == set()
    assert set(TABLE) >= RANDOM


def _first_overloads() -> Iterator[tuple[Operator, Overload]]:
    """One pointwise overload and one of the tables of each domain."""
    for domain in sorted({operator.domain for operator in operators().values()}):
        found = [pair for pair in overloads().values() if pair[0].domain == domain]
        for of_tables in (True, False):
            yield from [pair for pair in found if (pair[1].name in TABLE) == of_tables][:1]


def test_pytorch_takes_the_arguments() -> None:
    for operator, overload in _first_overloads():
        sample = arguments(operator, overload, SMALL)
        torch.manual_seed(0)
        overload_of(overload.name)(*sample.arguments, **sample.keywords)


def test_sizes() -> None:
    assert list(SIZES) == ["small", "large"]
    assert SMALL.normal().numel() * 4 * 3 < 1 << 20
    assert LARGE.matrix() == (4096, 1024)
    assert LARGE.matrix(cost=16) == (256, 1024)
    assert SMALL.matrix(cost=16) == (256, 256)
    assert SMALL.matrix(cost=128) == (2, 256)
    assert torch.equal(SMALL.normal(seed=1), SMALL.normal(seed=1))
    assert not torch.equal(SMALL.normal(seed=1), SMALL.normal(seed=2))


def test_the_ratio_is_pytorchs_time_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    slow = clock.taking(3.0, torch.exp)
    monkeypatch.setattr(operator_speed, "overload_of", lambda name: _Native(name, slow))
    speed = measure(sized(clock.taking(2.0, torch.exp)), budget(clock))
    assert (speed.ours, speed.native, speed.ratio) == (2.0, 3.0, 1.5)
    assert speed.timed
    assert speed.inputs == "256x256"
    assert speed.rounds == 3


class _Native:
    """PyTorch's overload with another function."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._schema = overload_of(name)._schema
        self.function = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(*arguments, **keywords)


def test_ours_runs() -> None:
    before = launch_counts["flat_kernel[exp]"]
    speed = measure(sized_overloads(["exp"], sizes=["small"])[0], budget())
    assert speed.wrong == ""
    assert launch_counts["flat_kernel[exp]"] > before


@pytest.mark.parametrize(
    "ours",
    [lambda x: x.exp() * 1.001, lambda x: x.exp()[:1], lambda x: torch.full_like(x, float("nan"))],
    ids=["off", "short", "nan"],
)
def test_a_wrong_answer_is_told(ours: Callable[..., Any]) -> None:
    speed = measure(sized(ours), budget())
    assert speed.wrong.startswith("wrong by")
    assert not speed.timed


def test_what_is_written_is_compared() -> None:
    def forgets(*lists: Any, **keywords: Any) -> None:
        return None

    name = "_fused_sgd_"
    assert measure(sized(torch.ops.aten._fused_sgd_.default, name), budget()).wrong == ""
    assert measure(sized(forgets, name), budget()).wrong.startswith("wrong by")


def test_random_numbers_are_compared_in_mean_and_spread() -> None:
    assert measure(sized(lambda x: x.uniform_(), "uniform_"), budget()).wrong == ""
    assert measure(sized(lambda x: x.uniform_(0, 0.9), "uniform_"), budget()).wrong.startswith("wrong by")


def test_refusals_and_failures_are_rows() -> None:
    def refuses(x: torch.Tensor) -> torch.Tensor:
        raise NotServed("exp", "it is Sunday")

    def fails(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of luck\nand more")

    assert "it is Sunday" in measure(sized(refuses), budget()).refused
    assert measure(sized(fails), budget()).wrong == "RuntimeError: out of luck"

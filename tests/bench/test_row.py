"""One row: right and wrong answers, peers that fail, random results."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anychip.bench.case import Case, Work, moved, normal
from anychip.bench.measure import TimingBudget
from anychip.bench.peers import Peer, Unavailable
from anychip.bench.roofs import Roofs
from anychip.bench.row import run
from anychip.bench.suite import double

QUICK = TimingBudget(rounds=3, least_rounds=3, sample_seconds=0.0, seconds=0.1, warm_up=1)
ROOFS = Roofs(1, {1 << 10: 1e9, 1 << 20: 1e9}, {"f32": 1e9})


def case(ours: Any, **more: Any) -> Case:
    x = normal(64, 32)
    work = Work((x,), ours, lambda t: t.exp(), bytes=moved(x, x), flops=x.numel(), **more)
    return Case("exp", "family", (64, 32), torch.float32, lambda: work)


def test_a_right_row() -> None:
    row = run(case(lambda t: t.exp()), (), ROOFS, QUICK)
    assert row.wrong == ""
    assert row.errors["anychip"] == row.errors["eager"]
    assert set(row.seconds) == {"anychip", "eager"}
    assert row.best_peer == "eager"
    assert row.roof is not None
    assert row.roof == pytest.approx(2 * 64 * 32 * 4 / 1e9 / row.seconds["anychip"].median)


@pytest.mark.parametrize(
    "ours",
    [lambda t: t.exp() + 1e-3, lambda t: t.exp()[:-1], lambda t: torch.full_like(t, float("nan"))],
    ids=["off", "short", "nan"],
)
def test_a_wrong_row_says_so(ours: Any) -> None:
    row = run(case(ours), (), ROOFS, QUICK)
    assert row.wrong.startswith("wrong by")


def test_peers_that_cannot_or_are_wrong_leave_a_note() -> None:
    def cannot(case: Case, work: Work) -> Any:
        raise Unavailable("no such function")

    def wrong(case: Case, work: Work) -> Any:
        return lambda: work.arguments[0]

    def right(case: Case, work: Work) -> Any:
        return lambda: work.arguments[0].exp()

    row = run(
        case(lambda t: t.exp()),
        (Peer("a", (), cannot), Peer("b", (), wrong), Peer("c", (), right)),
        None,
        QUICK,
    )
    assert set(row.seconds) == {"anychip", "eager", "c"}
    assert [note.split(":")[0] for note in row.notes] == ["a", "b"]
    assert row.roof is None


def test_random_results_are_compared_by_their_moments() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(200_000)
    works = {
        "right": lambda t: torch.randn(t.shape, generator=generator),
        "wrong": lambda t: torch.rand(t.shape, generator=generator),
    }
    for name, ours in works.items():
        work = Work((x,), ours, lambda t: torch.randn_like(t), bytes=moved(x), random=True)
        row = run(Case("randn", "family", (200_000,), torch.float32, lambda w=work: w), (), None, QUICK)
        assert bool(row.wrong) == (name == "wrong")


def test_reference_arguments_are_double() -> None:
    assert double(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float64  # type: ignore[union-attr]
    assert double(torch.ones(2, dtype=torch.int8)).dtype == torch.int64  # type: ignore[union-attr]
    assert double(3) == 3

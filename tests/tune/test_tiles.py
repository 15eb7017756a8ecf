"""Tile sizes: what the database holds is what operators launch with; nonsense is not; results stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anychip.ops import launch, tuned
from anychip.ops.launch import Tiles
from anychip.ops.pointwise import TILES
from anychip.ops.registry import overloads
from anychip.tune import tiles
from anychip.tune.budget import Budget
from anychip.tuning.entry import TILES as KIND
from anychip.tuning.entry import Entry

NAME = "pointwise.TILES"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def shipped_sizes() -> Iterator[None]:
    before = dict(launch.tuned_sizes)
    tuned.apply([])
    yield
    tuned._put(before)


def entry(values: dict[str, object], name: str = NAME) -> Entry:
    return Entry(KIND, name, "", tuned.digest(name), "chip", values)


def test_every_set_of_tiles_has_one_name() -> None:
    named = tuned.named()
    assert named[NAME] is TILES
    assert len(set(named.values())) == len(named) > 20


def test_an_entry_changes_what_operators_launch_with() -> None:
    x = torch.rand(5000)
    exp = overloads()["exp"][1].implementation
    expected = exp(x)
    assert tuned.apply([entry({"flat": 512})]) == 1
    assert TILES.on(CPU) == {**TILES.simd, "flat": 512}
    seen: list[tuple[int, ...]] = []
    original = launch.Plan.launch

    def noted(self: launch.Plan, *tensors: torch.Tensor | None, numbers: tuple[int, ...] = ()) -> None:
        seen.append(self.grid)
        original(self, *tensors, numbers=numbers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.Plan, "launch", noted)
        assert torch.equal(exp(x), expected)
    assert seen == [(10, 1, 1)]
    tuned.apply([])
    assert TILES.on(CPU) is TILES.simd


@pytest.mark.parametrize(
    "values",
    [{"flat": 500}, {"flat": -512}, {"no_such": 512}, {"flat": "512"}, {"flat": True}, {"flat": 1 << 30}],
)
def test_nonsense_is_not_put_in_force(values: dict[str, object]) -> None:
    assert tuned.apply([entry(values)]) == 0
    assert TILES.on(CPU) is TILES.simd


def test_entries_of_other_code_or_other_tiles_are_left_out() -> None:
    stale = replace(entry({"flat": 512}), source="other")
    unknown = replace(entry({"flat": 512}), subject="no.such.TILES")
    assert tuned.apply([stale, unknown, replace(entry({"flat": 512}), kind="choice")]) == 0


def test_gpus_keep_their_sizes() -> None:
    tuned.apply([entry({"flat": 512})])
    assert TILES.on(torch.device("meta")) is TILES.simt


def test_the_search_keeps_results_and_takes_the_faster_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            self.now += 1e-3 * TILES.on(CPU)["flat"] / 2048
            return self.now

    x = torch.rand(1 << 13)
    exp = overloads()["exp"][1].implementation
    subject = tiles.Subject(NAME, TILES, ("exp",), (lambda: exp(x),), x.numel())
    monkeypatch.setattr(tiles, "MOST", 2048)
    monkeypatch.setattr(tiles, "ROUNDS", 1)
    steps = list(tiles.search(subject, Budget(60.0), Clock()))
    assert steps[-1].best["flat"] < TILES.simd["flat"]
    assert TILES.on(CPU) is TILES.simd, "nothing is put in force by a search"
    found = tiles.entry(subject, steps[-1].best, {}, "chip")
    assert tuned.apply([found]) == 1


def test_sizes_that_change_the_result_are_no_candidates() -> None:
    made = Tiles(simd={"block": 64})
    subject = tiles.Subject(
        "made", made, ("made",), (lambda: torch.tensor(float(made.on(CPU)["block"] > 128)),), 1 << 20
    )
    for step in tiles.search(subject, Budget(60.0), iter(range(10**6)).__next__):
        assert step.sizes["block"] <= 128


def test_the_tiles_that_an_operator_reads_are_found(tmp_path: Path) -> None:
    (found,) = tiles.subjects(["tanh"])
    assert found.name == NAME
    assert found.overloads == ("tanh",)
    with pytest.raises(tiles.TuneError, match="no_such"):
        tiles.subjects(["no_such"])

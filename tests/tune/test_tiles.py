"""Tile sizes: what the database holds is what operators launch with; nonsense is not; results stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from anychip.bench.arguments import LARGE, SMALL
from anychip.compiler.schedule.choices import VALUES, parse
from anychip.measurements.entry import TILES as KIND
from anychip.measurements.entry import Entry
from anychip.ops import tuned
from anychip.ops.launching import Tiles, launch_options, planned_launches, set_for_process
from anychip.ops.pointwise import TILES
from anychip.ops.registry import overloads
from anychip.pytorch.policy import disabled
from anychip.tune import tiles, trial
from anychip.tune import workload as module
from anychip.tune.budget import Budget
from anychip.tune.errors import TuneError
from anychip.tune.workload import Searcher, Workload

NAME = "pointwise.TILES"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def shipped_sizes() -> Iterator[None]:
    before = launch_options().tuned
    tuned.apply([])
    yield
    set_for_process(tuned=before)


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
    with planned_launches() as seen:
        assert torch.equal(exp(x), expected)
    assert [plan.grid for plan, *_ in seen] == [(10, 1, 1)]
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


def test_sizes_are_for_their_class_of_tensors() -> None:
    large, small = replace(entry({"flat": 512}), signature="float32 2^22"), entry({"flat": 256})
    assert tuned.apply([large, small]) == 1
    assert TILES.on(torch.empty(1 << 21))["flat"] == 512, "a class at most a power of four away"
    assert TILES.on(torch.empty(1 << 18))["flat"] == 256, "else what is for any"
    assert TILES.on(torch.empty(1 << 22, dtype=torch.float64))["flat"] == 256
    assert TILES.on(CPU)["flat"] == 256
    assert tuned.apply([replace(large, signature="float32 of any size")]) == 0


def test_shipped_sizes_stand_below_tuned_ones() -> None:
    shipped = {NAME: {"flat": 1024, "tile": 512}, "no.such.TILES": {"flat": 1}}
    assert tuned.apply([replace(entry({"flat": 256}), signature="float32 2^10")], shipped) == 1
    assert TILES.on(torch.empty(1000)) == {**TILES.simd, "flat": 256, "tile": 512}
    assert TILES.on(CPU) == {**TILES.simd, "flat": 1024, "tile": 512}
    assert tuned.apply([], {NAME: {"flat": 3}}) == 0


@pytest.fixture
def workload() -> Workload:
    x = torch.rand(1 << 13)
    exp = overloads()["exp"][1].implementation
    return Workload(NAME, {NAME: TILES}, ("exp",), (lambda: exp(x),), x.numel(), ("unroll", "grid"))


def test_the_search_keeps_results_and_takes_the_faster_point(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            unrolled = parse(launch_options[-1]).unroll if launch_options else 0
            self.now += 1e-3 * TILES.on(CPU)["flat"] / 2048 / (2.0 if unrolled == 4 else 1.0)
            return self.now

    launch_options: list[str] = []
    original = trial.choices_of
    monkeypatch.setattr(
        trial, "choices_of", lambda point: launch_options.append(str(original(point))) or original(point)
    )
    monkeypatch.setattr(module, "MOST", 2048)
    monkeypatch.setattr(module, "ROUNDS", 1)
    searcher = Searcher(workload, Budget(60.0), Clock(), model=False)
    steps = list(searcher.steps())
    best = steps[-1].best
    assert int(best[NAME + ":flat"]) < TILES.simd["flat"]
    assert best["unroll"] == 4
    assert all(step.sizes["grid"] == "" for step in steps), "one axis: the order of the grid changes nothing"
    assert TILES.on(CPU) is TILES.simd, "nothing is put in force by a search"
    sizes, *schedules = tiles.entries(workload, best, searcher.launched(best), {}, "chip")
    assert tuned.apply([sizes]) == 1
    assert [(e.kind, e.subject, e.values) for e in schedules] == [("schedule", "flat_kernel", {"unroll": 4})]


def test_what_would_be_launched_is_told_without_compiling(workload: Workload) -> None:
    searcher = Searcher(workload, Budget(60.0))
    with disabled():
        searcher.begin()
        other = {**workload.shipped(), NAME + ":flat": 64}
        with pytest.raises(trial.Unseen), trial.trying(other, workload.tiles, compile=False):
            workload.calls[0]()
        shipped, told = searcher.expect(workload.shipped()), searcher.expect(other)
    assert shipped.cost is not None
    assert told.cost is not None
    assert told.code is not None
    assert told.cost > shipped.cost, "more program instances for the same work"
    assert told.code != shipped.code


def test_sizes_that_change_the_result_are_no_candidates() -> None:
    made = Tiles(simd={"block": 64})
    call = (lambda: torch.tensor(float(made.on(CPU)["block"] > 128)),)
    searcher = Searcher(
        Workload("made", {"made": made}, ("made",), call, 1 << 20, ()),
        Budget(60.0),
        iter(range(10**6)).__next__,
    )
    for step in searcher.steps():
        assert int(step.sizes["made:block"]) <= 128


def test_no_size_of_tiles_has_the_name_of_a_choice() -> None:
    assert not {name for made in tuned.named().values() for name in made.simd} & set(VALUES)


def test_the_tiles_that_an_operator_reads_are_found() -> None:
    found = tiles.workloads(["tanh"], [LARGE, SMALL])
    assert [workload.name for workload in found] == [NAME + " float32 2^22", NAME + " float32 2^16"]
    assert found[0].overloads == ("tanh",)
    assert found[0].elements == 1 << 22
    with pytest.raises(TuneError, match="no_such"):
        tiles.workloads(["no_such"])

"""Cuts of layers and of batches, against every cut that there is."""

from __future__ import annotations

from itertools import chain, combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anychip.cluster import CutError
from anychip.cluster.shards import Shards, sizes_of
from anychip.cluster.stages import cut, pipeline_seconds


def every_cut(layers: int, ranks: int) -> list[list[range]]:
    edges = [(0, *inner, layers) for inner in combinations(range(1, layers), ranks - 1)]
    return [[range(a, b) for a, b in pairwise(each)] for each in edges]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_cut_has_a_quicker_slowest_stage(data: st.DataObject) -> None:
    layers = data.draw(st.integers(1, 8))
    ranks = data.draw(st.integers(1, min(layers, 4)))
    costs = data.draw(st.lists(st.floats(0, 10), min_size=layers, max_size=layers))
    speeds = data.draw(st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=ranks, max_size=ranks))
    memory = data.draw(st.lists(st.integers(0, 5), min_size=layers, max_size=layers))
    limits = data.draw(st.lists(st.sampled_from([0, 4, 12]), min_size=ranks, max_size=ranks))

    def slowest(stages: list[range]) -> float:
        return max(sum(costs[i] for i in stage) / speed for stage, speed in zip(stages, speeds))

    fitting = [
        stages
        for stages in every_cut(layers, ranks)
        if all(not most or sum(memory[i] for i in stage) <= most for stage, most in zip(stages, limits))
    ]
    if not fitting:
        with pytest.raises(CutError, match="memory"):
            cut(costs, speeds, memory, limits)
        return
    found = cut(costs, speeds, memory, limits)
    assert found in fitting
    assert slowest(found) == pytest.approx(min(map(slowest, fitting)), rel=1e-9, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(3, 12),
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=3, max_size=3),
)
def test_no_shards_end_sooner(ranks: int, total: int, speeds: list[float]) -> None:
    speeds = speeds[:ranks]
    found = sizes_of(total, speeds)
    assert sum(found) == total
    assert min(found) >= 1
    ends = min(
        max(len(part) / speed for part, speed in zip(each, speeds)) for each in every_cut(total, ranks)
    )
    assert max(size / speed for size, speed in zip(found, speeds)) == pytest.approx(ends)


def test_a_batch_is_the_same_however_it_is_cut() -> None:
    batches = []
    for speeds in ([1.0], [1.0, 1.0], [5.0, 2.0, 1.0]):
        cuts = [Shards(40, 8, speeds, rank, seed=3) for rank in range(len(speeds))]
        batches.append([list(chain(*parts)) for parts in zip(*cuts)])
    assert batches[0] == batches[1] == batches[2]
    assert sorted(chain(*batches[0])) == list(range(40))


def test_data_go_on_in_another_cut() -> None:
    whole = Shards(40, 8, [1.0], 0)
    expected = [*whole, *whole]
    first = Shards(40, 8, [1.0], 0)
    steps = iter(first)
    seen = [next(steps), next(steps)]
    others = [Shards(40, 8, [1.0, 3.0], rank) for rank in range(2)]
    for each in others:
        each.load_state_dict(first.state_dict())
    for _ in range(2):
        seen += [a + b for a, b in zip(*others)]
    assert seen == expected
    with pytest.raises(CutError, match="seed"):
        Shards(40, 8, [1.0], 0, seed=9).load_state_dict(first.state_dict())


def test_a_pipeline_of_equal_stages_has_its_known_bubble() -> None:
    """(m + s - 1) / m of the work of a stage, as in the papers on GPipe and 1F1B."""
    assert pipeline_seconds([2.0] * 4, [0.0] * 3, 8) == pytest.approx(2.0 * (8 + 4 - 1))


def test_what_cannot_be_cut_is_refused() -> None:
    for refused in (
        lambda: cut([1.0], [1.0, 1.0]),
        lambda: sizes_of(1, [1.0, 1.0]),
        lambda: sizes_of(4, [0.0]),
    ):
        with pytest.raises(CutError):
            refused()

"""A model's layers cut into stages of a pipeline, one for each rank. Flows in: what each layer costs, how
fast each rank is and what it can hold. Flows out: the cut whose slowest stage is quickest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from .errors import CutError


def cut(
    costs: Sequence[float],
    speeds: Sequence[float],
    memory: Sequence[float] | None = None,
    limits: Sequence[float] | None = None,
) -> list[range]:
    """The layers of each rank's stage: contiguous, in order, at least one each.

    `costs` are seconds of each layer on a rank of speed 1, `memory` bytes of each layer and `limits` those
    that each rank holds (0: not limited). The largest time of a stage is the least that any such cut has;
    found by dynamic programming over (ranks, layers), in ranks * layers^2 steps. Raises CutError where no
    cut fits."""
    layers, ranks = len(costs), len(speeds)
    if layers < ranks or min(speeds, default=0) <= 0:
        raise CutError(
            f"{layers} layers for {ranks} ranks of speeds {list(speeds)}.",
            "A stage has one layer at least, and a rank's speed must be above 0.",
        )
    seconds = [0.0, *accumulate(costs)]
    held = [0.0, *accumulate(memory or [0.0] * layers)]
    most = [limit or float("inf") for limit in (limits or [0.0] * ranks)]
    none = float("inf")
    best = [[none] * (layers + 1) for _ in range(ranks + 1)]
    begins = [[0] * (layers + 1) for _ in range(ranks + 1)]
    best[0][0] = 0.0
    for rank in range(1, ranks + 1):
        for end in range(rank, layers - (ranks - rank) + 1):
            for begin in range(rank - 1, end):
                if held[end] - held[begin] > most[rank - 1]:
                    continue
                slowest = max(best[rank - 1][begin], (seconds[end] - seconds[begin]) / speeds[rank - 1])
                if slowest < best[rank][end]:
                    best[rank][end], begins[rank][end] = slowest, begin
    if best[ranks][layers] == none:
        raise CutError(
            f"no cut of {layers} layers fits the memory of {ranks} ranks ({held[-1] / 2**30:.2f} GiB).",
            "Give more memory or ranks, or hold less: smaller micro-batches, activation checkpointing.",
        )
    stages = []
    end = layers
    for rank in range(ranks, 0, -1):
        begin = begins[rank][end]
        stages.append(range(begin, end))
        end = begin
    return stages[::-1]


def pipeline_seconds(stages: Sequence[float], transfers: Sequence[float], micro_batches: int) -> float:
    """Seconds of a step of a pipeline with one forward and one backward in turn (1F1B): one micro-batch
    goes through all stages and back, the others follow at the pace of the slowest part. `stages` are
    seconds of a micro-batch's forward and backward in each, `transfers` of its activations and gradients
    between two."""
    return sum(stages) + sum(transfers) + (micro_batches - 1) * max([*stages, *transfers])

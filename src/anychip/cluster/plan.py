"""What each rank of a job does, and how long a step is expected to take. Flows in: a profile of the model
on this machine, the ranks, the network. Flows out: shards of the batch or stages of the model, memory,
bytes on the wire and seconds, each number with how it is known: measured here, or by the cost model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CutError
from .profile import Part, Profile
from .ranks import Network, Rank
from .shards import sizes_of
from .speeds import Roof, expected, published_roof
from .stages import cut, pipeline_seconds

MEASURED, MODELLED = "measured", "cost model"
STATES_OF_ADAMW = 4
"""Bytes of weights, gradients and two moments, in bytes of weights."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one rank does in a step. `layers` is its stage, all for shards; `samples` its part of the batch;
    `seconds` of computing, the optimizer's included; `sent` bytes; `known`: how the seconds are known."""

    rank: int
    chip: str
    layers: range
    samples: int
    memory: int
    memory_limit: int
    sent: int
    seconds: float
    known: str


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A step of the job. `equal` is what it would take with equal parts; `communication` what of `seconds` is
    spent with the network alone."""

    kind: str
    work: tuple[Work, ...]
    seconds: float
    equal: float
    communication: float
    network: Network

    @property
    def known(self) -> str:
        """How the step's seconds are known: measured where all that they are computed from is."""
        measured = self.network.is_measured and all(each.known == MEASURED for each in self.work)
        return MEASURED if measured else MODELLED


class Costs:
    """Seconds of parts on each rank. `cores` are this machine's: ranks of it that want more threads than
    there are share them."""

    def __init__(
        self, profiles: dict[int, Profile], ranks: Sequence[Rank], here: dict[int, Roof], cores: int
    ):
        self.ranks = list(ranks)
        self._profiles = profiles
        self._here = here
        wanted = sum(rank.threads * rank.share for rank in ranks if rank.chip is None)
        self._crowd = max(wanted / cores, 1.0)

    def profile_of(self, rank: int) -> Profile:
        """The profile with the rank's number of threads; for other chips, that of most threads."""
        one = self.ranks[rank]
        return self._profiles[one.threads if one.chip is None else max(self._profiles)]

    def seconds(self, rank: int, part: Part) -> float:
        """Forward and backward of a part, for the profile's batch."""
        one = self.ranks[rank]
        if one.chip is None:
            return part.seconds * self._crowd / one.share
        return expected(part, self._here[max(self._profiles)], published_roof(one.chip)) / one.share

    def optimizer(self, rank: int, parameters: float) -> float:
        """An AdamW step over so many bytes of weights."""
        found = self.profile_of(rank)
        here = found.optimizer * parameters / max(found.parameters, 1)
        one = self.ranks[rank]
        if one.chip is None:
            return here * self._crowd / one.share
        ratio = self._here[max(self._profiles)].bytes / published_roof(one.chip).bytes
        return here * ratio / one.share

    def known(self, rank: int) -> str:
        """How a rank's seconds are known."""
        return MEASURED if self.ranks[rank].chip is None else MODELLED


def shards(costs: Costs, network: Network, global_batch: int) -> JobPlan:
    """Data parallel: every rank has the whole model and a part of the batch in proportion to its speed.
    Gradients are all-reduced; that this overlaps with backward is not counted upon."""
    ranks = range(len(costs.ranks))
    per_sample = [
        sum(costs.seconds(r, part) for part in costs.profile_of(r).parts) / costs.profile_of(r).batch
        for r in ranks
    ]
    weights = costs.profile_of(0).parameters
    update = [costs.optimizer(r, weights) for r in ranks]
    sizes = sizes_of(global_batch, [1 / seconds for seconds in per_sample])
    sent = round(2 * (len(ranks) - 1) / len(ranks) * weights)
    communication = (
        0.0 if len(ranks) == 1 else 2 * (len(ranks) - 1) * network.latency + sent / network.bytes_per_second
    )
    equal = -(-global_batch // len(ranks))
    work = []
    for r in ranks:
        found = costs.profile_of(r)
        saved = sum(part.saved for part in found.parts) * sizes[r] // found.batch
        memory = STATES_OF_ADAMW * weights + saved
        work.append(
            Work(
                r,
                costs.ranks[r].name,
                range(len(found.parts) - 1),
                sizes[r],
                memory,
                costs.ranks[r].memory,
                sent,
                per_sample[r] * sizes[r] + update[r],
                costs.known(r),
            )
        )
    _require_memory(work)
    return JobPlan(
        "shards",
        tuple(work),
        max(each.seconds for each in work) + communication,
        max(per_sample[r] * equal + update[r] for r in ranks) + communication,
        communication,
        network,
    )


def stages(costs: Costs, network: Network, global_batch: int, micro_batches: int) -> JobPlan:
    """A pipeline: every rank has some layers, in the order of the ranks, and micro-batches pass through.
    What comes before the layers is the first rank's."""
    if global_batch % micro_batches:
        raise CutError(
            f"{global_batch} samples in {micro_batches} micro-batches.", "Take a number that divides it."
        )
    found = costs.profile_of(0)
    samples = global_batch // micro_batches
    scale = samples / found.batch
    units = [_joined(found.parts[0], found.parts[1]), *found.parts[2:]]
    speeds = [found.seconds / sum(costs.seconds(r, p) for p in found.parts) for r in range(len(costs.ranks))]
    in_flight = [min(len(speeds) - r, micro_batches) for r in range(len(speeds))]
    memory = [STATES_OF_ADAMW * unit.parameters + max(in_flight) * scale * unit.saved for unit in units]
    limits = [float(rank.memory) for rank in costs.ranks]
    chosen = cut([unit.seconds for unit in units], speeds, memory, limits)
    even = cut([1.0] * len(units), [1.0] * len(speeds))
    transfers = [2 * network.seconds(scale * units[stage.stop - 1].output) for stage in chosen[:-1]]

    def seconds_of(stage: range, rank: int) -> float:
        return sum(costs.seconds(rank, units[index]) for index in stage) * scale

    def updates(parts: Sequence[range]) -> float:
        weights = [sum(units[index].parameters for index in stage) for stage in parts]
        return max(costs.optimizer(rank, each) for rank, each in enumerate(weights))

    work = []
    for rank, stage in enumerate(chosen):
        inward = units[stage.start - 1].output if stage.start else 0
        outward = units[stage.stop - 1].output if stage.stop < len(units) else 0
        weights = sum(units[index].parameters for index in stage)
        saved = sum(units[index].saved for index in stage)
        work.append(
            Work(
                rank,
                costs.ranks[rank].name,
                stage,
                global_batch,
                round(STATES_OF_ADAMW * weights + in_flight[rank] * scale * saved),
                costs.ranks[rank].memory,
                round((inward + outward) * scale * micro_batches),
                seconds_of(stage, rank) * micro_batches + costs.optimizer(rank, weights),
                costs.known(rank),
            )
        )
    _require_memory(work)

    def step(parts: Sequence[range], moves: Sequence[float]) -> float:
        times = [seconds_of(stage, rank) for rank, stage in enumerate(parts)]
        return pipeline_seconds(times, moves, micro_batches) + updates(parts)

    return JobPlan(
        "stages",
        tuple(work),
        step(chosen, transfers),
        step(even, transfers),
        step(chosen, transfers) - step(chosen, [0.0] * len(transfers)),
        network,
    )


def _joined(a: Part, b: Part) -> Part:
    return Part(
        b.name,
        a.forward + b.forward,
        a.backward + b.backward,
        a.flops + b.flops,
        a.parameters + b.parameters,
        a.saved + b.saved,
        b.output,
    )


def _require_memory(work: Sequence[Work]) -> None:
    for each in work:
        if each.memory_limit and each.memory > each.memory_limit:
            raise CutError(
                f"rank {each.rank} ({each.chip}) would hold {each.memory / 2**30:.2f} GiB of "
                f"{each.memory_limit / 2**30:.2f} GiB.",
                "Cut the model into stages, take a smaller batch, or more ranks.",
            )

"""Rates of a model that is served, ours beside those of peers. Flows in: a model, names of peers. Flows out:
for each kind of task and candidate the seconds of each round."""

from __future__ import annotations

import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BenchmarkError
from .candidates import CANDIDATES
from .processes import STREAMS, Process, imports

OURS = "anychip"
READ = "read"
"""The row of reading as many bytes as the weights have."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A task: so many answers at once, prompts of so many tokens, answers of so many; `label` for tables.
    What is timed: "last - first" token, until the "first" one, or "all"."""

    label: str
    streams: int
    prompt: int
    tokens: int
    timed: str

    @property
    def counted(self) -> int:
        """Tokens whose time it is."""
        return {
            "last - first": self.streams * (self.tokens - 1),
            "first": self.streams * self.prompt,
            "all": self.streams * self.tokens,
        }[self.timed]


KINDS = {
    "decode": Kind("decoding, one answer", 1, 8, 65, "last - first"),
    "prompt": Kind("a prompt of 512 tokens", 1, 512, 1, "first"),
    "streams": Kind(f"{STREAMS} answers at once", STREAMS, 16, 32, "all"),
}


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds a token of one round, by the clock and of the processor."""

    wall: float
    processor: float


Rounds = dict[str, dict[str, list[Seconds]]]
"""Kind -> candidate -> rounds. The kind READ has ours alone, in seconds of reading all weights once."""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from a process's start to the first token, with empty caches and again; bytes of the second
    process's own memory then, above those of the weights and of a process with the imports alone."""

    cold: float
    warm: float
    memory: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What one run has measured. `versions` by candidate."""

    model: str
    threads: int
    weight_bytes: int
    versions: dict[str, str]
    rounds: Rounds
    start: Start | None


def measure(
    model: Path,
    peers: Sequence[str],
    threads: int,
    rounds: int,
    kinds: Iterable[str] = tuple(KINDS),
    with_start: bool = False,
    progress: Callable[[str], None] = lambda what: None,
) -> Rates:
    """Ours and the peers in turns, each in a process of its own; the first round warms up and is not kept.
    Raises BenchmarkError for peers that are not known and processes that end."""
    unknown = [name for name in peers if name not in CANDIDATES or name == OURS]
    if unknown:
        known = ", ".join(name for name in CANDIDATES if name != OURS)
        raise BenchmarkError(f"{unknown[0]} is no peer that is known; known are {known}.")
    made: Rounds = {}
    with ExitStack() as opened:
        processes: list[Process] = []
        for name in (OURS, *peers):
            progress(f"{name} loads")
            processes.append(opened.enter_context(closing(Process(name, model, threads))))
        for k in range(rounds + 1):
            for kind in kinds:
                for process in processes:
                    progress(f"round {k} of {rounds}: {process.name}, {KINDS[kind].label}")
                    seconds = one(process, KINDS[kind], seed=k)
                    if k:
                        made.setdefault(kind, {}).setdefault(process.name, []).append(seconds)
            if k:
                told = processes[0].ask({"read": processes[0].ready.weight_bytes})
                seconds = Seconds(told["wall"], told["processor"])
                made.setdefault(READ, {}).setdefault(OURS, []).append(seconds)
        ready = {process.name: process.ready for process in processes}
    found = start(model, threads, progress) if with_start else None
    versions = {name: each.version for name, each in ready.items()}
    return Rates(model.name, threads, ready[OURS].weight_bytes, versions, made, found)


def chosen(kinds: Sequence[str] | None) -> list[str]:
    """Names of kinds, all where none is given. Raises BenchmarkError for others."""
    for name in kinds or ():
        if name not in KINDS:
            raise BenchmarkError(f"{name} is no kind of task; there are {', '.join(KINDS)}.")
    return list(kinds or KINDS)


def one(process: Process, kind: Kind, seed: int) -> Seconds:
    """A task of this kind; prompts are drawn anew for each seed, so that no candidate has seen them."""
    told = process.ask({"prompts": prompts(kind, seed), "tokens": kind.tokens})
    if kind.timed == "last - first":
        share = (told["last"][0] - told["first"][0]) / told["wall"]
        wall, processor = told["wall"] * share, told["processor"] * share
    else:
        wall, processor = (told["first"][0] if kind.timed == "first" else told["wall"]), told["processor"]
    return Seconds(wall / kind.counted, processor / kind.counted)


def prompts(kind: Kind, seed: int) -> list[list[int]]:
    """Tokens that every vocabulary of a real model has."""
    drawn = random.Random(f"{kind.label} {seed}")
    return [[drawn.randrange(1000, 30000) for _ in range(kind.prompt)] for _ in range(kind.streams)]


def start(model: Path, threads: int, progress: Callable[[str], None]) -> Start:
    """Our own starts: a process, its model, and one token after a prompt of 8."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[float] = []
        above = 0
        for what in ("empty", "warm"):
            progress(f"first token, {what} caches")
            with closing(Process(OURS, model, threads, {"TRITON_CACHE_DIR": folder})) as process:
                begun = process.begun
                told = process.ask({"prompts": prompts(KINDS["decode"], 0), "tokens": 1})
                found.append(time.perf_counter() - begun)
                above = told["memory"] - process.ready.weight_bytes - imports()
    empty, warm = found
    return Start(empty, warm, above)


# ---- what is made of them -------------------------------------------------------------------------


def least(rounds: Sequence[Seconds]) -> Seconds:
    """The least of the rounds: what others of the machine took least of."""
    return Seconds(min(r.wall for r in rounds), min(r.processor for r in rounds))


def ratio(rounds: Mapping[str, Sequence[Seconds]], peer: str) -> Seconds:
    """The peer's least times over ours: our rate over the peer's."""
    ours, other = least(rounds[OURS]), least(rounds[peer])
    return Seconds(other.wall / ours.wall, other.processor / ours.processor)


def geometric_mean(numbers: Iterable[float]) -> float:
    """Of positive numbers."""
    return math.exp(statistics.fmean(map(math.log, numbers)))


def above_reading(rates: Rates) -> Seconds | None:
    """Time of a token over that of reading the weights once, of the least times."""
    rounds: Any = rates.rounds
    if "decode" not in rounds or READ not in rounds:
        return None
    token, reading = least(rounds["decode"][OURS]), least(rounds[READ][OURS])
    return Seconds(token.wall / reading.wall, token.processor / reading.processor)

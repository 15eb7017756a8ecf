"""A run of the operators on some chips: batches of operators are recorded here, and proved on each chip.
Flows in: campaigns. Flows out: their proofs, and ledgers of what is done."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from ..pytorch import using
from . import ledger
from .batch import Batch, Compilations
from .campaign import Campaign
from .generation import Generation, as_on, generation_of
from .proving import Told, prove
from .recording import Kernels, Recording, record
from .trials import DEFAULT, Sampling, chosen, dtypes_of, trials

BATCH = 16
"""Operators whose launches are replayed in one emulated process."""


def run(
    campaigns: Sequence[Campaign],
    names: Sequence[str] = (),
    ledgers: Mapping[str, Path] = MappingProxyType({}),
    sampling: Sampling = DEFAULT,
    on_operator: Callable[[str], None] | None = None,
    seconds: float = math.inf,
) -> None:
    """Prove operators (all of them without `names`) that are not done, on several chips at once: trials are
    run and recorded here once for each generation of chips. `ledgers` are by chip. No batch begins later
    than `seconds` from now."""
    end = time.monotonic() + seconds
    groups: dict[Generation, list[Campaign]] = {}
    for campaign in campaigns:
        groups.setdefault(generation_of(campaign.target), []).append(campaign)
    rest = [name for name in chosen(names) if any(name not in campaign.done for campaign in campaigns)]
    compilations = Compilations()
    for batch in _batches(rest):
        if time.monotonic() > end:
            return
        for generation, members in groups.items():
            with as_on(generation):
                told = [
                    Told(name, dtype, _recorded(name, dtype, compilations.kernels, sampling))
                    for name in batch
                    for dtype in dtypes_of(name, sampling)
                ]
            shared = Batch(compilations)
            for campaign in members:
                done = campaign.done
                prove(campaign, [one for one in told if one.operator not in done], shared)
                if campaign.chip in ledgers:
                    ledger.write(campaign, ledgers[campaign.chip])
        for name in batch:
            if on_operator is not None:
                on_operator(name)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while batch := list(itertools.islice(remaining, BATCH)):
        yield batch


def _recorded(name: str, dtype: torch.dtype, kernels: Kernels, sampling: Sampling) -> list[Recording]:
    made = trials(name, dtype, sampling)
    with using("strict"):
        return [record(trial, kernels) for trial in made]

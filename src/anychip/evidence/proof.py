"""The proof of one subject: its trials, told by PyTorch first, then run under the strict policy.

A subject is an entry of PyTorch's database ("add", "nn.functional.softmax") or the record of an operator
("record:layer_norm"). Flows in: a subject, a dtype and how many samples. Flows out: a `Proof`.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from ..ops.registry import operators
from ..pytorch import policy, using
from ..pytorch.policy import disable, enable
from . import opinfo, records
from .errors import EvidenceError
from .outcome import Proof
from .trial import Trial, judge, observe

BATCH = 16
"""Trials that are told by PyTorch before our operators are enabled for them."""

RECORD = "record:"


def subjects() -> list[str]:
    """Every subject: PyTorch's entries, and the library's records."""
    return [*opinfo.entries(), *(RECORD + name for name in operators())]


def dtypes_of(subject: str) -> tuple[torch.dtype, ...]:
    """The dtypes in which a subject is tried."""
    if subject.startswith(RECORD):
        name = subject.removeprefix(RECORD)
        if name not in operators():
            raise EvidenceError(f"there is no operator {name!r}; `anychip ops` lists those that exist.")
        return tuple(operators()[name].dtypes)
    return opinfo.dtypes_of(subject)


def prove(
    subject: str,
    dtype: torch.dtype,
    limit: int | None = None,
    kinds: Iterable[str] = (),
    seconds: float | None = None,
) -> Proof:
    """Run the trials of a subject in one dtype. `limit` bounds the samples of each maker, `kinds` selects
    among `outcome.KINDS`, and after `seconds` of processor time no more trials are begun. Any policy in
    force is set aside meanwhile."""
    proof = Proof(subject, str(dtype).removeprefix("torch."), limit=limit, budget=seconds)
    start = time.process_time()
    if subject.startswith(RECORD):
        made = records.trials(subject.removeprefix(RECORD), dtype, limit)
    else:
        made = opinfo.trials(subject, dtype, limit, kinds)
    with _pytorch_on_its_own(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch in _batches(made):
            if seconds is not None and time.process_time() - start > seconds:
                proof.cut = True
                break
            with using("strict"):
                observed = [observe(trial) for trial in batch]
            for trial, observation in zip(batch, observed, strict=True):
                judge(trial, observation, proof)
    proof.seconds = round(time.process_time() - start, 3)
    return proof


def _batches(made: Iterator[Trial]) -> Iterator[list[Trial]]:
    while batch := list(itertools.islice(made, BATCH)):
        yield batch


@contextmanager
def _pytorch_on_its_own() -> Iterator[None]:
    """No policy inside the block, and the one that was in force afterwards."""
    before = policy()
    disable()
    try:
        yield
    finally:
        if before is not None:
            enable(before.name, only=before.only, exclude=before.exclude)

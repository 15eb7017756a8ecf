"""Proofs on a device: what PyTorch gives on the CPU, in the type at hand and in float64, is the oracle of
what our kernels give there under the strict policy. Flows in: names of operators. Flows out: verdicts, plain
data."""

from __future__ import annotations

from typing import Any

import torch

from anychip.evidence import fused, records
from anychip.evidence.inputs import weights_like
from anychip.evidence.outcome import Proof
from anychip.evidence.trial import judge, observe
from anychip.ops.registry import operators
from anychip.ops.rooms import everywhere
from anychip.pytorch import using

from .placing import Place

FIRST = 1
"""Samples of each overload that are tried."""

DTYPES = 2
"""Element types in which an operator is tried: its first, and bfloat16 or the next one."""


def dtypes(known: tuple[torch.dtype, ...]) -> tuple[torch.dtype, ...]:
    """The types in which an operator with these is tried."""
    others = sorted(known[1:], key=lambda dtype: dtype != torch.bfloat16)
    return (*known[:1], *others)[:DTYPES]


def operator(name: str, place: Place) -> dict[str, Any]:
    """The first samples of an operator's overloads, in two types."""
    verdicts, why = [], ""
    for dtype in dtypes(tuple(operators()[name].dtypes)):
        proof = Proof(name, str(dtype).removeprefix("torch."), limit=FIRST)
        for trial in records.trials(name, dtype, FIRST, place.placed):
            with using("strict"):
                observed = observe(trial)
            judge(trial, observed._replace(results=place.all_home(observed.results)), proof)
        failed = sum(tally.failed for tally in proof.overloads.values())
        passed = sum(tally.passed for tally in proof.overloads.values())
        verdicts.append({"dtype": proof.dtype, "passed": passed, "failed": failed + len(proof.unserved)})
        for failure in proof.failures[:1]:
            why = why or f"{failure.inputs}: {failure.reason}"
        for reason in list(proof.unserved)[:1]:
            why = why or reason
    failed = sum(row["failed"] for row in verdicts)
    passed = sum(row["passed"] for row in verdicts)
    verdict = "failed" if failed or why else "passed" if passed else "nothing to compare"
    return {"verdict": verdict, "types": verdicts, **({"why": why[:300]} if why else {})}


def fused_operator(name: str, place: Place) -> dict[str, Any]:
    """The first sample of a fused operator, results and gradients, in its first type and one more."""
    record = everywhere()[name]
    samples = 0
    for dtype in dtypes(tuple(record.dtypes)):
        for sample in list(record.samples(dtype))[:FIRST]:
            inputs = fused.inputs_of(record, dtype, sample)
            wanted = fused.expected(record, dtype, inputs)
            placed = place.all_placed(inputs)
            with using("strict"):
                found = fused.evaluated(
                    record,
                    record.function,
                    placed,
                    lambda result: place.there(weights_like(result)),
                )
            ours = fused.Evaluated(
                place.all_home(found.results), place.all_home(found.gradients), found.forward, found.backward
            )
            problem = fused.fault(record, ours, wanted)
            if problem:
                return {"verdict": "failed", "why": f"{dtype}: {problem}"[:300]}
            if not sum(found.forward.values()) and any(x.numel() for x in ours.results):
                return {"verdict": "failed", "why": f"{dtype}: no kernel was launched"}
            samples += 1
    return {"verdict": "passed" if samples else "nothing to compare", "samples": samples}

"""The record of a chip: tier, operators passed, tried and in all, versions, date, commit, failures.

Flows in: a finished campaign. Flows out: `evidence/chips/<chip>.json`. It holds no times: an emulator's say
nothing of the chip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..compiler.foreign.records import StockTarget
from ..compiler.targets import Target
from ..emulation.execution import version_of
from ..evidence.outcome import Proof
from ..evidence.proof import RECORD
from ..evidence.record import REPOSITORY, commit, versions
from ..ops.registry import operators
from .campaign import Campaign, Compiled

FOLDER = (REPOSITORY if (REPOSITORY / "pyproject.toml").exists() else Path()) / "evidence" / "chips"
"""In the repository that these sources are in, else below the current folder."""

FORMAT = 1
PACKAGES = ("ziglang", "wasmtime")


def record(campaign: Campaign) -> dict[str, Any]:
    """The record as plain data."""
    verdicts = _verdicts(campaign.proofs)
    core = campaign.core
    return {
        "format": FORMAT,
        "chip": campaign.chip,
        **_target_data(campaign.target),
        **setting_of(campaign),
        "emulator_version": "" if core is None or core.kind == "native" else version_of(core),
        "machine": version_of(core) if core is not None and core.kind == "native" else "",
        "remark": campaign.remark,
        "operators": counts(verdicts),
        "cases": {
            verdict: sum(proof.total(verdict) for proof in campaign.proofs)
            for verdict in ("passed", "failed", "unserved", "views")
        },
        "kernels": _kernels(campaign.compiled),
        "kernels_of_vector_form": _kernels(campaign.vector_form) if campaign.vector_form.names else None,
        "scalar_form": _scalar_form(campaign),
        "versions": {**versions(), **_linker_versions()},
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "verdicts": verdicts,
        "failures": [
            {
                "operator": proof.subject.removeprefix(RECORD),
                "dtype": proof.dtype,
                "inputs": failure.inputs,
                "reason": failure.reason.replace(f"{REPOSITORY}/", ""),
            }
            for proof in campaign.proofs
            for failure in proof.failures
        ],
    }


def setting_of(campaign: Campaign) -> dict[str, str]:
    """What was made and what ran it."""
    core = campaign.core
    return {
        "target": campaign.target.name,
        "tier": campaign.tier,
        "emulator": "" if core is None or core.kind == "native" else core.setting,
        "code_that_ran": "" if core is None else core.runs.name,
    }


def counts(verdicts: Mapping[str, str]) -> dict[str, int]:
    """Operators passed, tried, and in all."""
    return {
        "passed": sum(verdict == "passed" for verdict in verdicts.values()),
        "tried": sum(verdict in ("passed", "failed") for verdict in verdicts.values()),
        "total": len(operators()),
    }


def write(made: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a record; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made['chip']}.json"
    path.write_text(json.dumps(made, indent=1) + "\n")
    return path


def _target_data(target: Target | StockTarget) -> dict[str, Any]:
    """What the code was made for: LLVM's triple and vector length, or stock Triton's back end."""
    if isinstance(target, StockTarget):
        return {"triton_backend": target.backend, "warp_size": target.warp_size}
    return {"triple": target.triple, "vector_bits": target.vector_bits}


def _scalar_form(campaign: Campaign) -> dict[str, Any] | None:
    """What ran without vectors because the emulator failed at the vector form: its target, the
    operators of which some trial ran so, and their kernels."""
    if campaign.core is None or campaign.core.otherwise is None or not campaign.in_scalar_form:
        return None
    return {
        "target": campaign.core.otherwise.name,
        "operators": sorted(campaign.in_scalar_form),
        "kernels": _kernels(campaign.scalar_form),
    }


def _verdicts(proofs: list[Proof]) -> dict[str, str]:
    """Each operator's verdict in all its dtypes: "failed" if any failed, "passed" if some passed."""
    found: dict[str, str] = {}
    for proof in proofs:
        name, verdict = proof.subject.removeprefix(RECORD), proof.verdict
        verdict = "passed" if verdict == "passed in part" else verdict
        known = found.get(name, verdict)
        ranked = ("failed", "passed", "not served", "no computation")
        found[name] = min(known, verdict, key=ranked.index)
    return dict(sorted(found.items()))


def _kernels(compiled: Compiled) -> dict[str, Any]:
    return {
        "compiled": len(compiled.names) - len(compiled.errors),
        "tried": len(compiled.names),
        "errors": sorted({_first_lines(error) for error in compiled.errors.values()}),
    }


def _first_lines(error: str) -> str:
    """What a compiler said, without the kernel's text and the places of files on this machine."""
    return " ".join(error.split()).replace(f"{REPOSITORY}/", "")[:300]


def _linker_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""The target this process runs on, as LLVM detects it.

`ANYCHIP_TARGET` (a core's name) and `ANYCHIP_TARGET_FEATURES` (LLVM features to leave out, such
as "-avx512f,-avx512bw") make the host pose as a lesser core of its own ISA, to try the code that
such a core would get. What the machine does not have is refused.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace

from .errors import UnknownTarget, UnusableTarget
from .instruction_set import Detection, InstructionSet
from .isas import instruction_sets
from .target import Target


def host() -> Target:
    """The running machine's target, cached for each setting of the two environment variables.

    Raises `UnusableTarget` for an unsupported ISA or an override that the machine cannot run.
    """
    return _host(os.environ.get("ANYCHIP_TARGET", ""), os.environ.get("ANYCHIP_TARGET_FEATURES", ""))


@functools.cache
def _host(core: str, feature_changes: str) -> Target:
    from llvmlite import binding as llvm

    triple = llvm.get_process_triple()
    rules = _rules(triple)
    if not isinstance(rules, Detection):
        return _baseline(rules, triple, core, feature_changes)
    detected, cpu = llvm.get_host_cpu_features(), llvm.get_host_cpu_name()
    present = {name for name, on in detected.items() if on}
    removed = _removed_features(feature_changes, detected)
    kept = rules.without(present, removed)
    minus = [f"-{name}" for name in sorted(removed)]
    if not core:
        features = ",".join([detected.flatten(), *minus])
        return rules.describe("host", cpu, kept, triple=triple, feature_text=features)
    needed = rules.without(_features_of(core, rules), removed)
    missing = sorted(needed - kept)
    if missing:
        raise UnusableTarget(
            f"ANYCHIP_TARGET={core}: this machine ({cpu}) lacks {', '.join(missing)}",
            hint="Name a core whose instructions the machine has, or unset ANYCHIP_TARGET.",
        )
    return rules.describe(core, core, needed, triple=triple, feature_text=",".join(minus))


def runs_here(target: Target) -> bool:
    """Whether this machine has every instruction of `target`; False where LLVM does not detect that."""
    from llvmlite import binding as llvm

    rules = instruction_sets()[target.isa].host
    if host().isa != target.isa or not isinstance(rules, Detection):
        return False
    needed = rules.cores.get(target.cpu)
    present = {name for name, on in llvm.get_host_cpu_features().items() if on}
    return needed is not None and needed <= present


def of_machine(architecture: str) -> InstructionSet | None:
    """The instruction set that a triple or the operating system calls `architecture`; None: no code is made
    for it."""
    name = architecture.lower()
    return next((isa for isa in instruction_sets().values() if name in (isa.name, *isa.other_names)), None)


def _rules(triple: str) -> Detection | Target:
    """How a machine with this triple is described."""
    isa = of_machine(triple.partition("-")[0])
    if isa is None or isa.host is None:
        hosts = (isa.name for isa in instruction_sets().values() if isa.host is not None)
        raise UnusableTarget(
            f"no code generator for this machine's {triple.partition('-')[0]!r} ({triple})",
            hint=f"Supported hosts: {', '.join(hosts)}.",
        )
    return isa.host


def _baseline(least: Target, triple: str, core: str, feature_changes: str) -> Target:
    if core or feature_changes:
        raise UnusableTarget(
            f"ANYCHIP_TARGET and ANYCHIP_TARGET_FEATURES cannot be checked on {least.isa}",
            hint="Unset them: this machine's features are not detected in detail.",
        )
    return replace(least, name="host", triple=triple, emulator=None)


def _removed_features(changes: str, detected: Mapping[str, bool]) -> set[str]:
    removed = set()
    for change in filter(None, map(str.strip, changes.split(","))):
        if change[0] != "-" or change[1:] not in detected:
            present = sorted(name for name, on in detected.items() if on)
            raise UnusableTarget(
                f"ANYCHIP_TARGET_FEATURES: {change!r} is not a feature that can be left out",
                hint=f'Write "-name", with commas between, and a name among: {", ".join(present)}.',
            )
        removed.add(change[1:])
    return removed


def _features_of(core: str, rules: Detection) -> frozenset[str]:
    if core not in rules.cores:
        raise UnknownTarget(core, rules.cores)
    return rules.cores[core]

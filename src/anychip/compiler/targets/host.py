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

from . import aarch64, loongarch64, ppc64le, riscv64, s390x, x86_64
from .errors import UnknownTarget, UnusableTarget
from .target import Target

_DETAILED = {"x86_64": x86_64, "aarch64": aarch64}
"""ISAs described by LLVM's detected feature names."""

_BASELINES: dict[str, Target] = {
    target.isa: target
    for target in (riscv64.TARGETS[0], loongarch64.TARGETS[0], ppc64le.TARGETS[0], s390x.TARGETS[0])
}
"""ISA -> the least core of it, used where detection does not reach further."""

_ARCHITECTURES = {
    "amd64": "x86_64", "arm64": "aarch64", "powerpc64le": "ppc64le", "systemz": "s390x",
}  # fmt: skip


def host() -> Target:
    """The running machine's target, cached for each setting of the two environment variables.

    Raises `UnusableTarget` for an unsupported ISA or an override that the machine cannot run.
    """
    return _host(os.environ.get("ANYCHIP_TARGET", ""), os.environ.get("ANYCHIP_TARGET_FEATURES", ""))


@functools.cache
def _host(core: str, feature_changes: str) -> Target:
    from llvmlite import binding as llvm

    triple = llvm.get_process_triple()
    architecture = triple.partition("-")[0]
    isa = _ARCHITECTURES.get(architecture, architecture)
    if isa not in _DETAILED:
        return _baseline(isa, triple, core, feature_changes)
    rules, detected, cpu = _DETAILED[isa], llvm.get_host_cpu_features(), llvm.get_host_cpu_name()
    present = {name for name, on in detected.items() if on}
    removed = _removed_features(feature_changes, detected)
    kept = rules.without(present, removed)
    minus = [f"-{name}" for name in sorted(removed)]
    if not core:
        features = ",".join([detected.flatten(), *minus])
        return rules.describe("host", cpu, kept, triple=triple, feature_text=features)
    needed = rules.without(_features_of(core, isa), removed)
    missing = sorted(needed - kept)
    if missing:
        raise UnusableTarget(
            f"ANYCHIP_TARGET={core}: this machine ({cpu}) lacks {', '.join(missing)}",
            hint="Name a core whose instructions the machine has, or unset ANYCHIP_TARGET.",
        )
    return rules.describe(core, core, needed, triple=triple, feature_text=",".join(minus))


def _baseline(isa: str, triple: str, core: str, feature_changes: str) -> Target:
    if isa not in _BASELINES:
        raise UnusableTarget(
            f"no code generator for this machine's {isa!r} ({triple})",
            hint=f"Supported hosts: {', '.join((*_DETAILED, *_BASELINES))}.",
        )
    if core or feature_changes:
        raise UnusableTarget(
            f"ANYCHIP_TARGET and ANYCHIP_TARGET_FEATURES cannot be checked on {isa}",
            hint="Unset them: this machine's features are not detected in detail.",
        )
    return replace(_BASELINES[isa], name="host", triple=triple)


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


def _features_of(core: str, isa: str) -> frozenset[str]:
    features = _DETAILED[isa].FEATURES
    if core not in features:
        raise UnknownTarget(core, features)
    return features[core]

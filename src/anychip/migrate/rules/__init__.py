"""The rules, one file a family. Flows in: nothing. Flows out: every rule by its code, in the order of
codes."""

from __future__ import annotations

from ..rule import Rule
from . import (
    devices,
    distributed,
    environment,
    files,
    kernels,
    mixed_precision,
    sources,
    streams,
    torch_cuda,
    vendor_packages,
)

FAMILIES: dict[str, tuple[Rule, ...]] = {
    "Files": files.RULES,
    "Devices": devices.RULES,
    "Streams, events and graphs": streams.RULES,
    "torch.cuda": torch_cuda.RULES,
    "Mixed precision": mixed_precision.RULES,
    "Distributed": distributed.RULES,
    "Environment": environment.RULES,
    "CUDA sources": sources.RULES,
    "Vendor packages": vendor_packages.RULES,
    "Kernels": kernels.RULES,
}
"""Families by their titles. A code's first digit is its family's."""

RULES: dict[str, Rule] = {rule.code: rule for rules in FAMILIES.values() for rule in rules}

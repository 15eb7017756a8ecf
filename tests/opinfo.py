"""Tests made of PyTorch's own samples (OpInfo): the first sample of each kind of an entry, for one in six in
single precision and for one in twelve in another real dtype; half of the former with a kind of inputs at the
edges. The rest are slow tests; `make test-ops` runs all samples in all dtypes, with every kind."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch

from anychip.evidence import opinfo
from anychip.evidence.outcome import KINDS
from anychip.evidence.proof import prove

FIRST = 1
ONE_IN = 6
OTHER_ONE_IN = 12
EDGES = ("transposed", "expanded", "empty", "0-d", "special")
ALWAYS = tuple(kind for kind in KINDS if kind not in EDGES)


def other_dtype(name: str) -> torch.dtype | None:
    """One more dtype for one in twelve entries, another for each of them."""
    others = [d for d in opinfo.dtypes_of(name) if d != torch.float32 and not d.is_complex]
    number = zlib.crc32(name.encode())
    return others[number // OTHER_ONE_IN % len(others)] if others and number % OTHER_ONE_IN == 0 else None


def is_drawn(name: str) -> bool:
    """Whether an entry is always tried in single precision."""
    return zlib.crc32(name.encode()) // 256 % ONE_IN == 0


def cases(namespaced: bool) -> list[Any]:
    """Parameters (entry, dtype) for the entries that have a namespace (`nn.functional.relu`) or for those
    that have none."""
    return [
        pytest.param(
            name,
            dtype,
            id=f"{name}-{str(dtype).removeprefix('torch.')}",
            marks=() if dtype != torch.float32 or is_drawn(name) else pytest.mark.slow,
        )
        for name in opinfo.entries()
        if ("." in opinfo.entry_of(name).name) == namespaced
        for dtype in (torch.float32, other_dtype(name))
        if dtype in opinfo.dtypes_of(name)
    ]


def check(name: str, dtype: torch.dtype) -> None:
    """Prove an entry; skip one that computes nothing or that the library does not serve."""
    number = zlib.crc32(f"{name} {dtype}".encode())
    edge = [EDGES[number // 2 % len(EDGES)]] if number % 2 and dtype == torch.float32 else []
    proof = prove(name, dtype, FIRST, kinds=(*ALWAYS, *edge))
    failures = [f"{failure.kind} {failure.inputs}: {failure.reason}" for failure in proof.failures]
    assert not failures, "\n".join(failures)
    if proof.verdict in ("no computation", "not served"):
        pytest.skip(f"{proof.verdict}: {', '.join(proof.unserved) or 'views and allocations alone'}")

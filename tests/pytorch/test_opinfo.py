"""PyTorch's own samples (OpInfo) for every operator of its database, under the strict policy: the first
few of each entry in single precision and in one other dtype. `make test-ops` runs all of them."""

from __future__ import annotations

import zlib

import pytest
import torch

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")

from anychip.evidence import opinfo
from anychip.evidence.proof import prove

FIRST = 2
OTHER_FIRST = 1


def other_dtype(name: str) -> torch.dtype | None:
    """One more of an entry's dtypes, another for each entry."""
    others = [dtype for dtype in opinfo.dtypes_of(name) if dtype != torch.float32]
    return others[zlib.crc32(name.encode()) % len(others)] if others else None


CASES = [
    pytest.param(name, dtype, first, id=f"{name}-{str(dtype).removeprefix('torch.')}")
    for name in opinfo.entries()
    for dtype, first in ((torch.float32, FIRST), (other_dtype(name), OTHER_FIRST))
    if dtype in opinfo.dtypes_of(name)
]


@pytest.mark.parametrize(("name", "dtype", "first"), CASES)
def test_samples(name: str, dtype: torch.dtype, first: int) -> None:
    proof = prove(name, dtype, first)
    failures = [f"{failure.kind} {failure.inputs}: {failure.reason}" for failure in proof.failures]
    assert not failures, "\n".join(failures)
    if proof.verdict in ("no computation", "not served"):
        pytest.skip(f"{proof.verdict}: {', '.join(proof.unserved) or 'views and allocations alone'}")

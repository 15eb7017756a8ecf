"""`tl.histogram` against NumPy: few and many bins, tiles smaller and larger than a chunk, masks, values that
are no bin's, and machine code for other targets."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from tests.kernels.catalogue import CASES

from anychip.compiler import pipeline, targets


@triton.jit
def histogram(out, source, count, BINS: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    if MASKED:
        bins = tl.histogram(tl.load(source + at, mask=inside, other=0), BINS, mask=inside)
    else:
        bins = tl.histogram(tl.load(source + at, mask=inside, other=-1), BINS)
    tl.store(out + tl.program_id(0) * BINS + tl.arange(0, BINS), bins)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("block", [4, 16, 64, 1024])
@pytest.mark.parametrize("bins", [2, 8, 64, 1024, 2048])
def test_counts(bins: int, block: int, masked: bool) -> None:
    count = 2 * block + block // 2 + 1
    drawn = np.random.default_rng(bins * block).integers(-3, bins + 3, count).astype(np.int32)
    programs = triton.cdiv(count, block)
    out = torch.full((programs, bins), -7, dtype=torch.int32)
    histogram[(programs,)](out, torch.from_numpy(drawn), count, BINS=bins, BLOCK=block, MASKED=masked)
    for program in range(programs):
        part = drawn[program * block : (program + 1) * block]
        expected = np.bincount(part[(part >= 0) & (part < bins)], minlength=bins)
        np.testing.assert_array_equal(out[program].numpy(), expected)


def test_one_value_only() -> None:
    out = torch.empty((1, 16), dtype=torch.int32)
    histogram[(1,)](out, torch.full((512,), 3, dtype=torch.int32), 512, BINS=16, BLOCK=512, MASKED=True)
    assert out[0].tolist() == [0, 0, 0, 512, *([0] * 12)]


ADDITIONS = {
    "cortex-a76": r"\badd\s+[vw]\d+",
    "spacemit-x60": r"\b(addiw?|addw|vadd\.v[vi])\b",
    "z14": r"\b(asi|ahi|ahik|vaf|alsi)\b",
    "wasm32": r"\bi32(x4)?\.add\b",
    "x86-64": r"\b(incl|addl|paddd)\b",
}
"""Target -> what adds to a 32-bit counter there."""


@pytest.mark.parametrize("target", ADDITIONS)
def test_other_targets_count_with_their_own_additions(target: str) -> None:
    compiled = pipeline.compile_ttir(CASES["histogram"].ttir(), targets.get(target), keep_stages=True)
    assert compiled.symbol.encode() in compiled.object_code
    assert re.search(ADDITIONS[target], compiled.stages["asm"]), compiled.stages["asm"]

"""Products in which each row has a matrix of its own: the bits of the plain products with each matrix."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anychip.llm.packed.dense import dense, dense_matmul
from anychip.llm.packed.experts import Experts, expert_matmul, experts
from anychip.llm.packed.grouped import grouped
from anychip.llm.packed.products import RoundedRows, packed_matmul, rounded_rows
from anychip.llm.packed.scaled import scaled, scaled_matmul
from anychip.llm.packed.weights import packed
from anychip.ops.errors import ArgumentError

ROWS, COLUMNS, COUNT = 64, 256, 3
IDS = torch.tensor([[2, 0], [1, 2], [2, 1], [0, 1]])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows_of(x: Any, row: int) -> RoundedRows:
    return RoundedRows(x.numbers[row : row + 1], x.scales[row : row + 1], x.sums[row : row + 1])


def blocks(format: str, size: int, seed: int) -> torch.Tensor:
    """Bytes of any codes, whose scales are those of Q4_1 and Q6_K."""
    data = torch.randint(
        0, 256, (ROWS, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    scale = torch.tensor([0.05], dtype=torch.float16).view(torch.uint8)
    each = data.view(ROWS, -1, {"Q4_1": 20, "Q6_K": 210}[format])
    places = {"Q4_1": (0, 2), "Q6_K": (208,)}[format]
    for place in places:
        each[..., place : place + 2] = scale
    return data


def matrix(kind: str, seed: int) -> Any:
    if kind == "Q4_1":
        return packed(kind, blocks(kind, COLUMNS // 32 * 20, seed), COLUMNS)
    if kind == "Q6_K":
        return packed(kind, blocks(kind, 210, seed), COLUMNS)
    if kind == "grouped":
        generator = torch.Generator().manual_seed(seed)
        codes = torch.randint(0, 16, (ROWS, COLUMNS), dtype=torch.uint8, generator=generator)
        zeros = torch.randint(0, 16, (ROWS, 4), generator=generator)
        return grouped(codes, 4, random(ROWS, 4, seed=seed).half(), zeros, 64)
    if kind == "fp8":
        return scaled(random(ROWS, COLUMNS, seed=seed).to(torch.float8_e4m3fn), random(2, 8), (32, 32))
    return dense(random(ROWS, COLUMNS, seed=seed).bfloat16())


@pytest.mark.parametrize("kind", ["Q4_1", "Q6_K", "grouped", "fp8", "bf16"])
def test_each_row_has_the_bits_of_its_matrix(kind: str) -> None:
    each = [matrix(kind, seed) for seed in range(COUNT)]
    bias = random(COUNT, ROWS)
    whole = experts(each, bias)
    is_packed = kind not in ("fp8", "bf16")
    x = random(len(IDS), COLUMNS)
    given = rounded_rows(x) if is_packed else x
    got = expert_matmul(given, whole, IDS.reshape(-1).int(), 2).view(len(IDS), 2, ROWS)
    product = {"fp8": scaled_matmul, "bf16": dense_matmul}.get(kind)
    for token, own in enumerate(IDS.tolist()):
        for slot, expert in enumerate(own):
            if product is None:
                want = packed_matmul(rows_of(given, token), each[expert], bias[expert])
            else:
                want = product(x[token : token + 1], each[expert], bias[expert])
            assert torch.equal(got[token, slot], want[0])
    alone = rows_of(given, 3) if is_packed else x[3:]
    assert torch.equal(expert_matmul(alone, whole, IDS[3].int(), 2), got[3])


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ArgumentError, match="multiple of 32"):
        experts([dense(torch.zeros(40, 32)), dense(torch.zeros(40, 32))])
    with pytest.raises(ArgumentError, match="one kind"):
        experts([matrix("Q4_1", 0), matrix("Q6_K", 0)])
    whole = experts([matrix("bf16", 0)])
    assert isinstance(whole, Experts)
    with pytest.raises(ArgumentError, match="rounded"):
        expert_matmul(rounded_rows(torch.zeros(2, COLUMNS)), whole, torch.zeros(2, dtype=torch.int32), 1)

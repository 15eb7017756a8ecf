"""Choices: whatever is chosen, a kernel computes the same; text and choices are one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler.schedule.choices import BY_RULES, VALUES, Choices, UnknownChoice, of, parse
from anychip.triton_backend import activate

TEXTS = [
    "unroll=1",
    "unroll=16",
    "vector=second",
    "loops=across",
    "carried=memory",
    "carried=registers",
    "grid=y",
    "grain=1",
    "grain=64",
    "unroll=2 vector=second loops=across carried=registers grid=y grain=4",
]


@triton.jit
def scaled_rows(x, y, total, rows, columns, M: tl.constexpr, N: tl.constexpr):
    r = tl.program_id(0) * M + tl.arange(0, M)
    c = tl.program_id(1) * N + tl.arange(0, N)
    inside = (r[:, None] < rows) & (c[None, :] < columns)
    value = tl.load(x + r[:, None] * columns + c[None, :], mask=inside, other=0.0)
    tl.store(y + c[None, :] * rows + r[:, None], value * 2 + 1, mask=inside)
    tl.atomic_add(total + r, tl.sum(value, 1), mask=r < rows)


@triton.jit
def column_sums(x, y, rows, columns, M: tl.constexpr, N: tl.constexpr):
    c = tl.program_id(0) * N + tl.arange(0, N)
    sums = tl.zeros((M, N), tl.float32)
    for first in range(0, rows, M):
        r = first + tl.arange(0, M)
        inside = (r[:, None] < rows) & (c[None, :] < columns)
        sums += tl.load(x + r[:, None] * columns + c[None, :], mask=inside, other=0.0)
    tl.store(y + c, tl.sum(sums, 0), mask=c < columns)


@triton.jit
def product(a, b, y, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    r = tl.program_id(0) * M + tl.arange(0, M)
    c = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for first in range(0, k, K):
        i = first + tl.arange(0, K)
        left = tl.load(a + r[:, None] * k + i[None, :], mask=(r[:, None] < m) & (i[None, :] < k), other=0.0)
        right = tl.load(b + i[:, None] * n + c[None, :], mask=(i[:, None] < k) & (c[None, :] < n), other=0.0)
        total += tl.dot(left, right)
    tl.store(y + r[:, None] * n + c[None, :], total, mask=(r[:, None] < m) & (c[None, :] < n))


@pytest.mark.parametrize("text", TEXTS)
def test_no_choice_changes_a_result(text: str) -> None:
    activate()
    x = torch.rand(50, 70)
    y, total = torch.empty(70, 50), torch.zeros(50)
    scaled_rows[(4, 3)](x, y, total, 50, 70, M=16, N=32, anychip_schedule=text)
    assert torch.equal(y, (x * 2 + 1).T)
    assert torch.allclose(total.double(), x.double().sum(1), rtol=1e-6)
    sums = torch.empty(70)
    column_sums[(3,)](x, sums, 50, 70, M=8, N=32, anychip_schedule=text)
    assert torch.allclose(sums.double(), x.double().sum(0), rtol=1e-6)
    other, result = torch.rand(70, 40), torch.empty(50, 40)
    product[(4, 3)](x, other, result, 50, 40, 70, M=16, N=16, K=32, anychip_schedule=text)
    assert torch.allclose(result.double(), x.double() @ other.double(), rtol=1e-5)


def test_choices_and_their_text_are_one() -> None:
    assert str(BY_RULES) == ""
    assert parse("") == BY_RULES
    for values in itertools.product(*((value, type(value)()) for value, *_ in VALUES.values())):
        given: dict[str, Any] = dict(zip(VALUES, values))
        chosen = Choices(**given)
        assert parse(str(chosen)) == chosen
    assert of({"unroll": 4, "grid": ""}) == Choices(unroll=4)


@pytest.mark.parametrize(
    "text",
    ["unroll=3", "unroll=-1", "unroll", "unrol=2", "grid=x", "grain=4097", "loops=1", "=", "unroll=2x"],
)
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(UnknownChoice, match="there are unroll=1"):
        parse(text)


def test_values_of_another_type_are_refused() -> None:
    for values in ({"unroll": True}, {"unroll": "4"}, {"grid": 1}, {"unroll": 2.0}, {"loops": ["across"]}):
        with pytest.raises(UnknownChoice):
            of(values)

"""With checks, an access outside of a tensor raises and says where; accesses inside, or masked off, do
not."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from tests.ttir import ttir_of

import anychip
from anychip.compiler import pipeline, targets
from anychip.compiler.codegen.check_table import Check, CheckTable
from anychip.runtime import launches
from anychip.runtime.errors import OutOfBounds
from anychip.triton_backend import activate, sanitizer


@triton.jit
def copy_rows(x, y, n, limit, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    value = tl.load(x + k, mask=k < n)
    tl.store(y + k, value + 1, mask=k < limit)


@triton.jit
def pick(x, where, y, B: tl.constexpr):
    k = tl.arange(0, B)
    tl.store(y + k, tl.load(x + tl.load(where + k)))


@triton.jit
def walk(x, y, steps, B: tl.constexpr):
    pointers = x + tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    for _ in range(steps):
        total += tl.load(pointers)
        pointers += B
    tl.store(y + tl.arange(0, B), total)


@triton.jit
def update(counts, at, exchange: tl.constexpr):
    if exchange:
        tl.atomic_cas(counts + at, 0, 2)
    else:
        tl.atomic_add(counts + at, 1)


@triton.jit
def described(x, y, rows, B: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [rows, B], [B, 1], [8, B])
    tile = source.load([rows - 4, 0])
    tl.store(y + tl.arange(0, 8)[:, None] * B + tl.arange(0, B)[None, :], tile)


@triton.jit
def added_in_turn(total, lock, x):
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(total, tl.load(total) + tl.load(x + tl.program_id(0)))
    tl.atomic_xchg(lock, 0)


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    activate()
    monkeypatch.setattr(sanitizer, "wanted", lambda: frozenset({Check.BOUNDS, Check.OVERFLOW}))


X = torch.arange(100.0)
BEFORE = torch.full((16,), -11)


def test_accesses_inside_are_right():
    y = torch.zeros(100)
    copy_rows[(2,)](X, y, 100, 100, B=64)
    assert torch.equal(y, X + 1)
    copy_rows[(1,)](X[40:], y[40:], 60, 60, B=64)
    walk[(1,)](X, y, 6, B=16)
    assert torch.equal(y[:16], X[:96].view(6, 16).sum(0))
    copy_rows[(1,)](torch.empty(0), y, 0, 0, B=64)
    tile = torch.zeros(8, 16)
    described[(1,)](X[:96], tile, 6, B=16)
    assert torch.equal(tile[:4], X[32:96].view(4, 16))
    assert tile[4:].eq(0).all(), "rows below the described ones are not read"


@pytest.mark.parametrize(
    ("name", "launch", "offset", "memory"),
    [
        (r"reads x\[100\] ", lambda: copy_rows[(2,)](X, torch.zeros(128), 120, 128, B=64), 100 * 4, (0, 400)),
        (r"writes y\[70\] ", lambda: copy_rows[(2,)](X, torch.zeros(70), 100, 71, B=64), 70 * 4, (0, 280)),
        (r"reads x\[-11\] ", lambda: pick[(1,)](X[10:], BEFORE, torch.zeros(16), B=16), -44, (-40, 360)),
        (r"reads x\[100\] ", lambda: walk[(1,)](X, torch.zeros(16), 7, B=16), 100 * 4, (0, 400)),
        (r"updates counts\[4\] ", lambda: update[(1,)](torch.zeros(4).int(), 4, False), 16, (0, 16)),
        (r"updates counts\[-1\] ", lambda: update[(1,)](torch.zeros(4).int(), -1, True), -4, (0, 16)),
        ("no memory", lambda: copy_rows[(1,)](X[:0].clone(), torch.zeros(64), 1, 1, B=64), 0, (0, 0)),
    ],
)
def test_accesses_outside_raise(name, launch, offset, memory):
    with pytest.raises(OutOfBounds, match=name) as raised:
        launch()
    error = raised.value
    assert (error.finding.offset, error.finding.view.memory) == (offset, memory)
    place = error.finding.site.place
    assert place.rpartition(":")[0] == __file__
    source = Path(__file__).read_text().splitlines()[int(place.rpartition(":")[2]) - 1]
    assert "tl.load" in source or "tl.store" in source or "tl.atomic" in source
    assert isinstance(error, IndexError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nothing_is_written_outside():
    memory = np.zeros(8, dtype=np.float32)
    with pytest.raises(OutOfBounds, match="holds elements 0 to 3 "):
        copy_rows[(1,)](X, torch.from_numpy(memory[:4]), 64, 6, B=64)
    assert memory.tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


def test_programs_that_wait_are_checked():
    total, lock = torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    added_in_turn[(8,)](total, lock, torch.arange(8.0))
    assert total.item() == 28
    with pytest.raises(OutOfBounds, match=r"reads x\[7\]"):
        added_in_turn[(8,)](total, lock, torch.arange(7.0))


def test_replayed_lists_tell_what_they_find():
    def picked(x, where):
        y = torch.empty(16)
        pick[(1,)](x, where, y, B=16)
        return y

    with anychip.using("portable"):
        program = anychip.capture(picked, X, torch.arange(16))
    assert torch.equal(program(X, torch.arange(16) + 84), X[84:])
    with pytest.raises(OutOfBounds, match=r"reads x\[100\]"):
        program(X, torch.arange(16) + 85)
    assert torch.equal(program(X, torch.arange(16) + 1), X[1:17])


def test_operators_and_replayed_lists_with_checks():
    x = torch.randn(33, 20)
    before = launches.count()
    with anychip.using("portable"):
        rows = torch.softmax(x, 1)
        program = anychip.capture(lambda u: torch.softmax(u, 1) + 1, x)
    assert launches.count() > before
    torch.testing.assert_close(rows, torch.softmax(x, 1))
    other = torch.randn(33, 20)
    torch.testing.assert_close(program(other), torch.softmax(other, 1) + 1)


def test_without_checks_a_kernel_has_none():
    types = {"x": "*fp32", "where": "*i64", "y": "*fp32", "B": "constexpr"}
    text = ttir_of(pick, types, {"B": 16})
    plain = pipeline.compile_ttir(text, targets.host())
    checked = pipeline.compile_ttir(text, targets.host(), wanted=frozenset({Check.BOUNDS}))
    assert (plain.checks, len(plain.arg_types), len(checked.arg_types)) == (None, 3, 4)
    assert checked.checks is not None
    assert checked.checks.slots == (0, 1, 2)
    assert {site.argument for site in checked.checks.sites} == {"x", "where", "y"}
    assert CheckTable.from_json(checked.checks.to_json()) == checked.checks

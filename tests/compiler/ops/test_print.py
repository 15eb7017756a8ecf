"""`tl.device_print`: one line for each element, with the program, the index in the tile and the value."""

from __future__ import annotations

import ctypes

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def show(x, y, n, M: tl.constexpr, N: tl.constexpr):
    a = tl.load(x + tl.arange(0, M))
    b = tl.load(y + tl.arange(0, N)[:, None] * 2 + tl.arange(0, 2)[None, :])
    tl.device_print("a 100%d", a)
    tl.device_print("hex ", a, hex=True)
    tl.device_print("both ", a, b, n)


@triton.jit
def show_nothing():
    print("here")


def _lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    ctypes.CDLL(None).fflush(None)
    return capfd.readouterr().out.splitlines()


def test_values_indices_and_prefixes(capfd: pytest.CaptureFixture[str]) -> None:
    """A percent sign in a prefix is printed; operands of other shapes have their own indices."""
    x = torch.arange(16, dtype=torch.int16) - 3
    y = torch.tensor([[0.5, -1.25], [3.0, 4.0]])
    show[(1,)](x, y, -7, 16, 2)
    lines = _lines(capfd)
    assert lines[0] == "pid (0, 0, 0) idx ( 0) a 100%d: -3"
    assert lines[15] == "pid (0, 0, 0) idx (15) a 100%d: 12"
    assert lines[16] == "pid (0, 0, 0) idx ( 0) hex: 0xfffd"
    rest = lines[32:]
    assert rest[5] == "pid (0, 0, 0) idx ( 5) both: (operand 0) 2"
    assert rest[16:20] == [
        f"pid (0, 0, 0) idx ({r}, {c}) both: (operand 1) {y[r, c].item():f}"
        for r in range(2)
        for c in range(2)
    ]
    assert rest[20:] == ["pid (0, 0, 0) idx () both: (operand 2) -7"]


def test_no_value(capfd: pytest.CaptureFixture[str]) -> None:
    show_nothing[(2,)]()
    assert sorted(_lines(capfd)) == ["pid (0, 0, 0) here", "pid (1, 0, 0) here"]

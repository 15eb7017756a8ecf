"""Sums over a pair that pick one of the two, and sums that do not."""

from __future__ import annotations

import pytest
import triton
import triton.language as tl
from tests.ttir import ttir_of

from anychip.compiler.analysis.picks import picked
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse


@triton.jit
def picks(p, KIND: tl.constexpr):
    value = tl.reshape(tl.load(p + tl.arange(0, 16)), [4, 2, 2])
    side = tl.arange(0, 2)[None, :, None]
    if KIND == "left":
        value = tl.sum(value * (1 - side), 1)
    elif KIND == "right":
        value = tl.sum(side * value, 1)
    elif KIND == "widened":
        value = tl.sum(value.to(tl.int16) * side.to(tl.int16), 1)
    elif KIND == "whole":
        value = tl.sum(value, 1)
    elif KIND == "along another axis":
        value = tl.sum(value * tl.arange(0, 2)[None, None, :], 1)
    elif KIND == "twice":
        value = tl.sum(value * (side * 2), 1)
    elif KIND == "largest":
        value = tl.max(value * side, 1)
    tl.store(p + tl.arange(0, 4)[:, None] * 2 + tl.arange(0, 2)[None, :], value)


@pytest.mark.parametrize(
    ("kind", "which", "extensions"),
    [
        ("left", 0, []),
        ("right", 1, []),
        ("widened", 1, ["arith.extsi"]),
        ("whole", None, []),
        ("along another axis", None, []),
        ("twice", None, []),
        ("largest", None, []),
    ],
)
def test_picks(kind: str, which: int | None, extensions: list[str]) -> None:
    module = parse(ttir_of(picks, {"p": "*i32", "KIND": "constexpr"}, {"KIND": kind}))
    inline_calls(module)
    (reduce,) = [op for op in module.kernel.body.walk() if op.name == "tt.reduce"]
    pick = picked(reduce)
    if which is None:
        assert pick is None
        return
    assert pick is not None
    assert pick.which == which
    assert [op.name for op in pick.extensions] == extensions
    assert pick.source.shape == (4, 2, 2)

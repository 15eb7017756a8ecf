"""By how much a value grows from one iteration of a loop to the next."""

from __future__ import annotations

import triton
import triton.language as tl
from tests.ttir import ttir_of

from anychip.compiler.analysis.advance import advance
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse


@triton.jit
def steps(out, n, scale, B: tl.constexpr):
    for k in range(0, n, 4):
        at = tl.cast(k * 3, tl.int64) + 7
        tl.store(out + at + tl.arange(0, B), k * k)
        tl.store(out + k * scale, tl.load(out + 2 * k))


def test_growth() -> None:
    text = ttir_of(steps, {"out": "*i32", "n": "i32", "scale": "i32", "B": "constexpr"}, {"B": 16})
    module = parse(text)
    inline_calls(module)
    (loop,) = [op for op in module.kernel.body.walk() if op.name == "scf.for"]
    found: dict[str, list[int | None]] = {}
    for op in loop.regions[0].entry.ops[:-1]:
        for result in op.results:
            found.setdefault(op.name, []).append(advance(result, loop))
    assert advance(loop.regions[0].entry.args[0], loop) == 4
    assert found["arith.muli"] == [12, None, None, 8]
    assert found["arith.extsi"] == found["arith.addi"] == [12]
    assert found["tt.addptr"] == [12, 12, None, 8]
    assert found["tt.splat"] == [12, None]
    assert found["tt.load"] == [None]

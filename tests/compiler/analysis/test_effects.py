"""Program order: which operation comes first, what loops are around it, what writes memory between."""

from __future__ import annotations

import triton
import triton.language as tl
from tests.ttir import ttir_of

from anychip.compiler.analysis.effects import ProgramOrder
from anychip.compiler.ir.core import Func, Op
from anychip.compiler.ir.parser import parse


@triton.jit
def order(p, q, n):
    i = tl.arange(0, 8)
    first = tl.load(p + i)
    for k in range(n):
        second = tl.load(q + k + i)
        if k > 3:
            tl.store(q + i, first)
        tl.store(p + k + i, second)
    tl.store(q + tl.load(p + i) + i, tl.cumsum(first, 0))


def parsed() -> tuple[Func, ProgramOrder]:
    func = parse(ttir_of(order, {"p": "*i32", "q": "*i32", "n": "i32"})).kernel
    return func, ProgramOrder.of(func.body)


def named(func: Func, name: str) -> list[Op]:
    return [op for op in func.body.walk() if op.name == name]


def test_positions_follow_the_text() -> None:
    func, program = parsed()
    scan = named(func, "tt.scan")[0]
    in_order = [op for op in func.body.walk() if op in program.position]
    assert [program.position[op] for op in in_order] == list(range(len(in_order)))
    assert set(func.body.walk()) - set(in_order) == set(scan.regions[0].walk())


def test_loops_around_an_operation() -> None:
    func, program = parsed()
    (loop,) = named(func, "scf.for")
    first, second, last = named(func, "tt.load")
    assert program.loops[first] == program.loops[last] == ()
    assert program.loops[second] == (loop,)
    inner, outer, after = named(func, "tt.store")
    assert program.loops[inner] == program.loops[outer] == (loop,)
    assert program.loops[after] == ()


def test_writes_between() -> None:
    func, program = parsed()
    first, second, last = (program.position[op] for op in named(func, "tt.load"))
    inner, outer, after = (program.position[op] for op in named(func, "tt.store"))
    assert not program.written_between(first, second)
    assert program.written_between(second, outer)
    assert not program.written_between(inner, outer)
    assert program.written_between(first, last)
    assert not program.written_between(last, after)
    assert program.writes == named(func, "tt.store")


def test_writes_inside() -> None:
    func, program = parsed()
    (loop,), (condition,), (scan,) = (named(func, name) for name in ("scf.for", "scf.if", "tt.scan"))
    assert program.writes_inside(loop)
    assert program.writes_inside(condition)
    assert not program.writes_inside(scan)


def test_users_include_operands_of_regions() -> None:
    func, program = parsed()
    first = named(func, "tt.load")[0]
    assert {op.name for op in program.users[first.result]} == {"tt.store", "tt.scan"}

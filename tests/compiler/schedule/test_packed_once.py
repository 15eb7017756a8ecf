"""Which packed operands the next program may find again: none where memory could have changed meanwhile."""

from __future__ import annotations

import pytest
import triton
import triton.language as tl
from tests.kernels.catalogue import Case

from anychip.compiler import targets
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse
from anychip.compiler.schedule.scheduler import schedule
from anychip.compiler.schedule.steps import For, PackedLoop, Step


@triton.jit
def matmul(out, a, b, count, rounds, N: tl.constexpr, HOW: tl.constexpr):
    """Rows of `a` for each x, columns of `b` for each y, and something that gets between."""
    i = tl.arange(0, N)
    row = tl.program_id(0) * N + i
    column = tl.program_id(1) * N + i
    total = tl.zeros((N, N), tl.float32)
    if HOW == "stored before":
        tl.store(b + column, i.to(tl.float32))
    if HOW == "counted":
        tl.atomic_add(out, 1.0)
    for _ in range(rounds):
        for k in range(0, count, N):
            x = tl.load(a + row[None, :] + (k + i)[:, None] * N)
            if HOW == "indexed":
                y = tl.load(b + tl.load(out + k + i).to(tl.int32)[:, None] * N + i[None, :])
            elif HOW == "volatile":
                y = tl.load(b + (k + i)[:, None] * N + column[None, :], volatile=True)
            else:
                y = tl.load(b + (k + i)[:, None] * N + column[None, :])
            total = tl.dot(tl.trans(x), y, total * 0.5 if HOW == "chained" else total)
            if HOW == "stored within":
                tl.store(b + column, i.to(tl.float32))
        if HOW == "again":
            tl.store(b + column, i.to(tl.float32))
    tl.store(out + row[:, None] * N + column[None, :], total)


def _packed_once(steps: list[Step]) -> list[list[str]]:
    found = []
    for step in steps:
        if isinstance(step, PackedLoop):
            found += [sorted(key.name for key in operand.keys) for operand in step.packed_once]
        if isinstance(step, For | PackedLoop):
            found += _packed_once(step.body)
    return found


@pytest.mark.parametrize(
    ("how", "rounds", "operands"),
    [
        ("plain", 1, 2), ("indexed", 1, 2), ("volatile", 1, 0), ("stored before", 1, 0),
        ("stored within", 1, 0),
        ("counted", 1, 0), ("again", None, 0), ("plain", None, 0),
        ("chained", 1, 2),
    ],
)  # fmt: skip
def test_operands_that_are_packed_once(how: str, rounds: int | None, operands: int) -> None:
    """`rounds` None: the loop is in another one."""
    types = "*fp32 *fp32 *fp32 i32" + (" i32" if rounds is None else "")
    constants = {"N": 16, "HOW": how} | ({} if rounds is None else {"rounds": rounds})
    module = parse(Case(matmul, types, constants).ttir())
    inline_calls(module)
    steps = schedule(module.kernel, targets.get("znver5")).body.blocks[0][1]
    assert len(_packed_once(steps)) == operands

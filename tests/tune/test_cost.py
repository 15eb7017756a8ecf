"""The cost model orders what is clear: unrolling hides latency, too much of it spills, tiny programs cost
starts, a strided vector axis costs gathers; and code that is the same is told to be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from anychip.compiler import targets
from anychip.compiler.schedule.choices import BY_RULES, Choices, parse
from anychip.triton_backend.origin import front_end
from anychip.tune import cost, machine
from anychip.tune.machine import Machine

CORE = Machine(targets.get("neoverse-n1"), 64 << 10, 1 << 20)


@triton.jit
def row_sums(x, y, rows, columns, M: tl.constexpr, N: tl.constexpr):
    r = tl.program_id(0) * M + tl.arange(0, M)
    total = tl.zeros((M, N), tl.float32)
    for first in range(0, columns, N):
        c = first + tl.arange(0, N)
        total += tl.load(x + r[:, None] * columns + c[None, :], mask=c[None, :] < columns, other=0.0)
    tl.store(y + r, tl.sum(total, 1), mask=r < rows)


@triton.jit
def doubled(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n) * 2, mask=i < n)


def ttir(kernel, types: dict[str, str], **constants: int) -> str:
    names = list(types)
    values = {(names.index(name),): value for name, value in constants.items()}
    aligned = {(k,): [["tt.divisibility", 16]] for k, t in enumerate(types.values()) if t.startswith("*")}
    return front_end(ASTSource(kernel, types, values, aligned), GPUTarget("cpu", "", 32), {})


def of_rows(choices: Choices = BY_RULES, columns: int = 4096, core: Machine = CORE) -> cost.Estimate:
    types = {"x": "*fp32", "y": "*fp32", "rows": "i32", "columns": "i32", "M": "constexpr", "N": "constexpr"}
    text = ttir(row_sums, types, M=4, N=64)
    return cost.estimate(text, (None, None, 1024, columns), (256,), choices, core, 1024.0 * columns * 4)


def of_block(block: int, choices: Choices = BY_RULES, core: Machine = CORE) -> cost.Estimate:
    types = {"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    text = ttir(doubled, types, BLOCK=block)
    return cost.estimate(text, (None, None, 1 << 20), ((1 << 20) // block,), choices, core, float(1 << 23))


def test_loops_count_with_the_values_of_the_launch() -> None:
    assert of_rows(columns=8192).cycles > 1.8 * of_rows(columns=4096).cycles


def test_tiny_programs_cost_more_for_the_same_work() -> None:
    assert of_block(16).cycles > 1.5 * of_block(2048).cycles


def test_a_strided_vector_axis_costs_more() -> None:
    assert of_rows(parse("vector=second")).cycles > 1.2 * of_rows().cycles


def test_a_core_with_wider_vectors_takes_fewer_cycles() -> None:
    wide = replace(CORE, target=targets.get("x86-64-v4"))
    assert of_block(2048, core=wide).cycles < of_block(2048).cycles


def test_threads_share_a_grid_by_grains() -> None:
    four = replace(CORE, threads=4)
    assert of_block(2048, core=four).cycles < 0.4 * of_block(2048).cycles
    assert of_block(2048, parse("grain=512"), four).cycles > 2 * of_block(2048, core=four).cycles


def test_equal_code_is_told() -> None:
    assert of_block(256, parse("grid=y")).code == of_block(256).code, "a grid of one axis"
    assert of_block(256, parse("vector=second loops=across")).code == of_block(256).code, "one axis"
    assert of_block(256, parse("grain=4")).code == of_block(256).code, "one thread"
    assert of_block(256, parse("unroll=1")).code != of_block(256, parse("unroll=8")).code
    assert of_block(256).code != of_block(512).code


def test_this_machine_and_published_cores_are_described() -> None:
    here = machine.this(2)
    assert here.threads == 2
    assert 0 < here.l1 < here.l2
    for name in machine.SERVERS:
        core = machine.published(targets.get(name))
        assert core.target.isa == "aarch64"
        assert 0 < core.l1 < core.l2
    with pytest.raises(KeyError, match="x86-64-v3"):
        machine.published(targets.get("x86-64-v3"))


def test_an_operators_matmul_is_estimated() -> None:
    from anychip.bench.arguments import SMALL
    from anychip.tune import tiles
    from anychip.tune.budget import Budget
    from anychip.tune.workload import Searcher

    (found,) = [w for w in tiles.workloads(["matmul"], [SMALL]) if "mm" in w.overloads]
    searcher = Searcher(found, Budget(5.0))
    with torch.no_grad():
        searcher.begin()
    said = [searcher.expect({**found.shipped(), "linalg.matmul.TILES:m": m}).cost for m in (4, 128)]
    small, large = said
    assert small is not None
    assert large is not None
    assert small > large

"""Loops that wait for other programs are told from those that end by themselves."""

from __future__ import annotations

import pytest
from tests.triton_backend import waiting_kernels as kernels
from tests.ttir import ttir_of

from anychip.compiler import pipeline, targets
from anychip.compiler.analysis.waiting import Waiting, WaitingLoops
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse

TYPES = {
    "barrier_sum": "x:*fp32 partial:*fp32 out:*fp32 count:*i32 programs:i32",
    "sense_reversal": "values:*i32 count:*i32 sense:*i32 rounds:i32 programs:i32",
    "spin_lock": "lock:*i32 total:*i32 order:*i32",
    "ticket_lock": "tickets:*i32 serving:*i32 log:*i32",
    "chain": "flags:*i32 data:*i32 out:*i32 programs:i32",
    "persistent": "counter:*i32 out:*i32 tiles:i32",
    "search": "sorted_values:*i32 wanted:*i32 out:*i32 size:i32",
    "insert": "table:*i32 keys:*i32 steps:*i32",
    "look_back": "status:*i32 out:*i32",
    "until_settled": "state:*fp32",
}
CONSTANTS = {"barrier_sum": {"WIDTH": 16, "MOST": 64}, "spin_lock": {"WIDTH": 64}, "insert": {"SIZE": 64}}


def text(name: str) -> str:
    types = dict(argument.split(":") for argument in TYPES[name].split())
    constants = CONSTANTS.get(name, {})
    return ttir_of(getattr(kernels, name), {**types, **dict.fromkeys(constants, "constexpr")}, constants)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("barrier_sum", Waiting.SURELY),
        ("sense_reversal", Waiting.SURELY),
        ("spin_lock", Waiting.SURELY),
        ("ticket_lock", Waiting.SURELY),
        ("chain", Waiting.SURELY),
        ("look_back", Waiting.PERHAPS),
        ("insert", Waiting.PERHAPS),
        ("until_settled", Waiting.PERHAPS),
        ("persistent", Waiting.NEVER),
        ("search", Waiting.NEVER),
    ],
)
def test_kinds_of_loops(name: str, kind: Waiting):
    module = parse(text(name))
    inline_calls(module)
    waiting = WaitingLoops.of(module.kernel)
    assert waiting.kind is kind
    assert ("waiting_kernels.py:" in waiting.place) == bool(kind)


@pytest.mark.parametrize("target", ["x86-64", "cortex-a55", "rv64gcv", "wasm32"])
def test_a_program_that_waits_is_a_function_of_its_own_on_every_instruction_set(target: str):
    waiting = pipeline.compile_ttir(text("spin_lock"), targets.get(target), keep_stages=True)
    assert "llvm.coro.suspend" in waiting.stages["llvm"]
    assert "coro" not in waiting.stages["asm"]
    assert "anychip_spin_lock.program.resume" in waiting.stages["asm"]
    assert waiting.arena_bytes > 64, "status block and frame"
    independent = pipeline.lower(text("search"), targets.get(target))
    assert "coro" not in independent.llvm_ir
    assert independent.waiting is Waiting.NEVER

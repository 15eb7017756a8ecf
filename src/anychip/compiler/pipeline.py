"""The stages of the compiler in order, with a dump of each.

TTIR text goes in; out come object code and what a launcher must know of it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .analysis.waiting import Waiting
from .codegen.check_table import Check, CheckTable
from .codegen.context import Access
from .codegen.kernel import KernelCode, generate
from .ir.core import Func
from .ir.inline import inline_calls
from .ir.parser import parse
from .ir.printer import print_module
from .ir.types import I64
from .ir.verifier import verify
from .schedule.choices import BY_RULES, Choices
from .schedule.decompose import decompose
from .schedule.origins import mark_origins, pointer_slots
from .schedule.printer import print_schedule
from .schedule.rolling import roll
from .schedule.scheduler import schedule
from .schedule.steps import Schedule
from .targets import machine
from .targets.target import Target


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """Machine code of one kernel.

    `arena_bytes`: scratch that each running thread must supply, 64-byte aligned, beginning with the
    status block of 64 bytes. `arg_types`: the TTIR type of each argument. `messages[k]` is the text
    of assertion number k+1. `waiting` says whether programs wait for each other, `waits_at` in which line
    of the source; then each call of the symbol runs or continues one program in an arena that
    belongs to it (see `codegen.cooperative`), and `arena_bytes` is what a program needs. `endless`: it
    has loops in which it asks whether to go on. `checks`: what a launcher makes the table of that is the last
    argument of a kernel with checks; None without. `stages`: dumps by
    name, when they were asked for. `seconds`: how long each part of the compilation took, in order.
    """

    name: str
    symbol: str
    object_code: bytes
    arena_bytes: int
    arg_types: tuple[str, ...]
    messages: tuple[str, ...]
    target: str
    waiting: Waiting = Waiting.NEVER
    waits_at: str = ""
    endless: bool = False
    place: str = ""
    arg_names: tuple[str, ...] = ()
    checks: CheckTable | None = None
    stages: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class _Clock:
    """Seconds from one mark to the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        """Everything since the last mark was `part`."""
        now = time.perf_counter()
        self.seconds[part] = now - self._last
        self._last = now


@dataclass(frozen=True, slots=True)
class LoweredKernel:
    """LLVM IR of one kernel, before LLVM's passes; the other fields are those of `CompiledKernel`."""

    name: str
    symbol: str
    llvm_ir: str
    arena_bytes: int
    arg_types: tuple[str, ...]
    messages: tuple[str, ...]
    waiting: Waiting = Waiting.NEVER
    waits_at: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a kernel: every stage as text, and the verdict on each memory access."""

    stages: dict[str, str]
    accesses: tuple[Access, ...]


def compile_ttir(
    text: str,
    target: Target,
    *,
    keep_stages: bool = False,
    choices: Choices = BY_RULES,
    interruptible: bool = False,
    wanted: frozenset[Check] = frozenset(),
) -> CompiledKernel:
    """Compile the kernel of a TTIR module for `target`, by the scheduler's rules or by other `choices`. If
    it is `interruptible`, its `while` loops ask the runtime whether to go on (see `codegen.interruption`).
    The checks that are `wanted` are made of its accesses (see `codegen.checks`).

    Raises `CompileError` (`ParseError`, `VerifyError`, `UnsupportedOperation`, `CodegenError`) with
    the user's source line where it is known.
    """
    clock = _Clock()
    with _without_collections():
        func, planned, code, stages = _generate(
            text, target, keep_stages, clock, choices, interruptible, wanted
        )
    arena_bytes = planned.arena_bytes
    if code.coroutine:
        made = machine.emit_coroutine(code.llvm_ir, target, code.coroutine)
        object_code, arena_bytes = made.code, code.frame_offset + made.frame_bytes
    else:
        object_code = machine.emit_object(code.llvm_ir, target)
    clock.mark("llvm")
    if keep_stages:
        stages["asm"] = machine.emit_assembly(code.llvm_ir, target)
    return CompiledKernel(
        name=func.name,
        symbol=code.symbol,
        object_code=object_code,
        arena_bytes=arena_bytes,
        arg_types=tuple(str(a.type) for a in func.args),
        messages=code.messages,
        target=target.name,
        waiting=code.waiting.kind,
        waits_at=code.waiting.place,
        endless=code.endless,
        place=str(func.location) if func.location.line else "",
        arg_names=tuple(a.name for a in func.args),
        checks=CheckTable(pointer_slots(func), code.sites) if wanted else None,
        stages=stages,
        seconds=clock.seconds,
    )


def lower(text: str, target: Target) -> LoweredKernel:
    """The kernel of a TTIR module as LLVM IR for `target`. Raises like `compile_ttir`."""
    func, planned, code, _ = _generate(text, target, False, _Clock())
    return LoweredKernel(
        name=func.name,
        symbol=code.symbol,
        llvm_ir=code.llvm_ir,
        arena_bytes=planned.arena_bytes,
        arg_types=tuple(str(a.type) for a in func.args),
        messages=code.messages,
        waiting=code.waiting.kind,
        waits_at=code.waiting.place,
    )


def explain(text: str, target: Target) -> Explanation:
    """Every stage of a kernel, and how its memory accesses came out. Raises like `compile_ttir`."""
    _, _, code, stages = _generate(text, target, True, _Clock())
    stages["asm"] = machine.emit_assembly(code.llvm_ir, target)
    return Explanation(stages, code.accesses)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No search for unreachable cycles while graphs grow of which all is reachable: it takes a sixth of the
    time for a kernel of 50,000 operations."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _generate(
    text: str,
    target: Target,
    keep: bool,
    clock: _Clock,
    choices: Choices = BY_RULES,
    interruptible: bool = False,
    wanted: frozenset[Check] = frozenset(),
) -> tuple[Func, Schedule, KernelCode, dict[str, str]]:
    module = parse(text)
    clock.mark("parse")
    verify(module)
    clock.mark("verify")
    inline_calls(module)
    stages: dict[str, str] = {}
    if keep:
        stages["ttir"] = text
        stages["tile"] = print_module(module)
    func = module.kernel
    decompose(func)
    roll(func)
    if wanted:
        mark_origins(func)
        func.body.entry.add_arg(I64, "checks")
    planned = schedule(func, target, replace(choices, unroll=choices.unroll or 1) if wanted else choices)
    clock.mark("schedule")
    if keep:
        stages["nests"] = print_schedule(planned)
    code = generate(func, planned, target, machine.data_layout(target), interruptible, wanted)
    clock.mark("generate")
    if keep:
        stages["llvm"] = code.llvm_ir
    return func, planned, code, stages

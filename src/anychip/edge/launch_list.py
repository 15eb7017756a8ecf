"""A library's own code: tables of its launches, and the interpreter that runs them.

The interpreter is the runtime's (`runtime.native.interpreter`), here without a C library: it keeps all that
changes in the context and on the stack, so that contexts may run at the same time. The functions that the
caller sees are those of `entry_points`."""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler.llvm.flow import Flow
from ..compiler.llvm.globals import Global, number_table, struct_table
from ..compiler.llvm.module import LLModule
from ..compiler.llvm.routine import C_INT, External, Routine, call_pointer, routine
from ..compiler.llvm.struct import Fields, Struct
from ..compiler.llvm.types import I8, I32, I64, PTR, VOID, LLType, Val, array
from ..compiler.targets import Target
from ..runtime.native.interpreter import LaunchTable, interpret
from ..runtime.native.job import KernelCall
from ..runtime.native.structures import ARENA
from ..runtime.program import LaunchList
from ..runtime.slot_table import Owner
from . import entry_points, watchdog
from .context import JOB, STEP, MemorySizes, Status, context_of, memory_sizes, state_places
from .entry_points import Library
from .exported import ExportedFunction
from .lowering import Lowered
from .weights import Weights

_KERNEL_PARAMETERS = (PTR, I64, I64, I32, I32, I32, PTR)
"""Of a kernel's C function: slots, first program, program after the last, grid, scratch memory."""

_TASK_PARAMETERS = (PTR, PTR, PTR, I64, C_INT)
"""Of the caller's `parallel_for`: pool, task, job, programs, workers."""


def module(
    exported: ExportedFunction,
    lowered: Lowered,
    weights: Weights,
    target: Target,
    embedded: bool,
    guarded: bool,
) -> str:
    """The module that is linked with the kernels'. `embedded`: the weights are in it; `guarded`: it has a
    watchdog."""
    size_t, launches = LLType(f"i{target.pointer_bits}"), exported.launches
    sizes, context = memory_sizes(launches, lowered), context_of(size_t)
    tables = _tables(launches, lowered, weights)
    widest = max((len(recorded.slots) for recorded in launches.launches), default=0)
    replay = _replay(tables, sizes, context, widest)
    library = Library(exported, sizes, context, size_t, weights, embedded, replay)
    made = LLModule()
    watched = watchdog.functions(exported.name) if guarded else []
    for function in [*entry_points.functions(library), *watched]:
        function.define(made)
    return str(made)


@dataclass(frozen=True, slots=True)
class _Tables:
    """The launches, and the numbers and owners of their slots."""

    count: int
    steps: Global
    values: Global
    owners: Global


def _tables(launches: LaunchList, lowered: Lowered, weights: Weights) -> _Tables:
    kernels = [External(kernel.symbol, VOID, *_KERNEL_PARAMETERS) for kernel in lowered.kernels]
    state, state_owner = state_places(launches), Owner.GIVEN + len(launches.inputs) + len(launches.outputs)

    def fixed(buffer: int) -> tuple[int, int]:
        if buffer in state.offsets:
            return state_owner, state.offsets[buffer]
        return Owner.CONSTANTS, weights.offsets[buffer]

    rows = launches.slot_rows(fixed)
    steps = [
        (kernels[kernel], *recorded.grid, len(row.values))
        for recorded, kernel, row in zip(launches.launches, lowered.of_launch, rows)
    ]
    values = [value for row in rows for value in row.values]
    owners = [owner for row in rows for owner in row.owners]
    return _Tables(
        len(steps),
        struct_table("steps", STEP, steps),
        number_table("values", I64, values),
        number_table("owners", I8, owners),
    )


def _task(sizes: MemorySizes) -> Routine:
    """What one worker does of a launch: the programs from `first` to before `last`."""

    @routine("task", attributes="nounwind", job=PTR, worker=I32, first=I64, last=I64)
    def task(f: Flow, job_at: Val, worker: Val, first: Val, last: Val) -> None:
        job = JOB.at(f, job_at)
        arena = ARENA.at(f, f.gep(job.load("scratch"), f.mul(worker, sizes.scratch_bytes)))
        arena.store("status", 0)
        KernelCall.of(job).run(f, first, last, arena.pointer)
        status = arena.load("status")
        with f.if_(f.ne(status, 0)), f.if_(f.atomic_replace(job.address("failure"), 0, status)):
            job.copy("program", arena)

    return task


def _replay(tables: _Tables, sizes: MemorySizes, context: Struct, widest: int) -> Routine:
    """The function that runs all launches: `bases` are the addresses of the owners."""
    task = _task(sizes)

    @routine("replay", I32, attributes="nounwind", context=PTR, bases=PTR)
    def replay(f: Flow, context_at: Val, bases: Val) -> Val:
        told, job = context.at(f, context_at), JOB.local(f, 8)
        slots = f.alloca(array(I64, max(widest, 1)), 8)
        scratch = f.gep(told.load("arena"), sizes.temporary_bytes)
        job.store_all(slots=slots, scratch=scratch, failure=0)
        parallel_for = told.load("parallel_for")
        alone = f.eq(parallel_for, 0)

        def launch(step: Fields) -> Val:
            for field in ("entry", "grid_x", "grid_y", "grid_z"):
                job.copy(field, step)
            x, y, z = (f.zext(step.load(f"grid_{axis}")) for axis in "xyz")
            programs = f.mul(f.mul(x, y), z)
            with f.if_else(alone) as (here, shared):
                with here:
                    task(f, job.pointer, 0, 0, programs)
                with shared:
                    values = [told.load("pool"), task.address(f), job.pointer, programs, told.load("workers")]
                    call_pointer(f, parallel_for, VOID, values, _TASK_PARAMETERS)
            return job.load("failure")

        def failed(number: Val, code: Val) -> None:
            told.store_all(failed_launch=number, failed_assertion=code)
            told.copy("failed_program", job, of="program")

        table = LaunchTable(
            STEP,
            tables.steps.address(f),
            tables.count,
            tables.values.address(f),
            tables.owners.address(f),
            owner=I8,
            index=I32,
        )
        code = interpret(f, table, bases, slots, launch, failed)
        return f.select(f.ne(code, 0), f.int(Status.ASSERTION), Status.OK)

    return replay

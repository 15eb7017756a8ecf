"""The interpreter of launch lists: one description for the runtime of this process and for exported
libraries.

A list is three tables: of steps (one launch each), of the slots' values, and of the slots' owners. Slot k of
the list holds `values[k] + bases[owners[k]]` (see `runtime.slot_table`). Each step takes as many of the
list's slots as its field `slots` says, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.scalar import Operand
from ...compiler.llvm.struct import Fields, Struct
from ...compiler.llvm.types import I32, I64, LLType, Val


@dataclass(frozen=True, slots=True)
class LaunchTable:
    """Where a list's tables are. `step` describes one launch, `owner` is the type of an owner's number, and
    `index` the type in which steps and slots are counted."""

    step: Struct
    steps: Val
    count: Operand
    values: Val
    owners: Val
    owner: LLType
    index: LLType


def interpret(
    f: Flow,
    table: LaunchTable,
    bases: Val,
    slots: Val,
    launch: Callable[[Fields], Val],
    failed: Callable[[Val, Val], None],
) -> Val:
    """Write the interpreter: for each step, fill `slots` and do what `launch(step)` writes, which gives a
    code (i32). The first code that is not 0 ends the list: `failed(step's number, code)` is done with it.
    Gives that code, or 0."""
    outcome = f.local(f.int(0, I32))
    count = f.constant(table.count, table.index)
    with f.counted(count, carried=[f.int(0, table.index)]) as turn:
        (first,) = turn.carried
        step = table.step.item(f, table.steps, turn.index)
        number = f.convert("trunc", step.load("slots"), table.index)
        _fill(f, table, bases, slots, first, number)
        code = launch(step)
        with f.if_(f.ne(code, 0)):
            failed(turn.index, code)
            outcome.value = code
            turn.leave(first)
        turn.carry(f.add(first, number))
    return outcome.value


def _fill(f: Flow, table: LaunchTable, bases: Val, slots: Val, first: Val, number: Val) -> None:
    """Fill the slots of the step whose own begin with slot `first` of the list."""
    with f.counted(number) as each:
        place = f.add(first, each.index)
        value = f.load(I64, f.element(I64, table.values, place))
        owner = f.zext(f.load(table.owner, f.element(table.owner, table.owners, place)), table.index)
        base = f.load(I64, f.element(I64, bases, owner))
        f.store(f.add(value, base), f.element(I64, slots, each.index))

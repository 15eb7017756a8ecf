"""The kernel function: from a schedule to an LLVM module with one public symbol.

The symbol follows the kernel ABI: `void symbol(const uint64_t *args, int64_t first, int64_t last,
int32_t gx, int32_t gy, int32_t gz, void *arena)` runs the program instances first <= p < last,
p = x + gx * (y + gy * z), or p = y + gy * (x + gx * z) where the schedule says so. Each argument fills one
slot of 8 bytes. Where programs wait for each other, a call runs one of them as far as it gets
(`cooperative`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..analysis.waiting import WaitingLoops
from ..ir.core import Func, Value
from ..ir.types import PointerType
from ..llvm.builder import Builder
from ..llvm.module import LLModule
from ..llvm.types import I1, I8, I32, I64, PTR, Val
from ..schedule.steps import Schedule
from ..targets.target import Target
from . import cooperative
from .check_table import Check, Site
from .checks import Checks
from .context import Access, Context
from .emitters import emit
from .register_types import register_type

SLOT = 8
"""Bytes of one kernel argument."""

SCALABLE_UNIT = 128
"""Bits of a scalable register for each unit of LLVM's `vscale`."""


@dataclass(frozen=True, slots=True)
class KernelCode:
    """LLVM IR of one kernel, its public symbol, texts of its assertions, its memory accesses. `waiting` says
    whether its programs wait for each other; `coroutine` is then the function that returns the bytes of
    its frame, which begins at `frame_offset` of the arena."""

    llvm_ir: str
    symbol: str
    messages: tuple[str, ...]
    accesses: tuple[Access, ...]
    waiting: WaitingLoops = field(default_factory=WaitingLoops)
    coroutine: str = ""
    frame_offset: int = 0
    endless: bool = False
    sites: tuple[Site, ...] = ()


def generate(
    func: Func,
    schedule: Schedule,
    target: Target,
    data_layout: str = "",
    interruptible: bool = False,
    wanted: frozenset[Check] = frozenset(),
) -> KernelCode:
    """LLVM IR for one scheduled kernel. With checks that are `wanted`, its last argument is a table (see
    `check_table`)."""
    module = LLModule(target.triple, data_layout)
    module.nan_tests_of_integers = target.wrong_nan_tests
    b = Builder(module)
    arena = Val("%arena", PTR)
    waiting = schedule.waiting
    context = Context(module, b, target, schedule.buffers, arena, waits=waiting.loops)
    context.interruptible = interruptible
    context.symbol = f"anychip_{func.name}"
    context.checks = Checks(wanted) if wanted else None
    _alias_metadata(context)
    context.grid = (Val("%gx", I32), Val("%gy", I32), Val("%gz", I32))
    attributes = _attributes(target)
    if waiting.kind:
        _coroutine(context, func, schedule, attributes)
        return KernelCode(
            str(module),
            context.symbol,
            tuple(context.messages),
            tuple(context.accesses.values()),
            waiting,
            cooperative.program_symbol(context.symbol),
            cooperative.frame_offset(schedule.arena_bytes),
            context.endless,
            _sites(context),
        )
    _arguments(context, func)
    _programs(context, schedule)
    signature = (
        f'define void @"{context.symbol}"(ptr noalias readonly %args, i64 %first, i64 %last, i32 %gx, '
        "i32 %gy, i32 %gz, ptr noalias align 64 %arena)"
    )
    module.add_function(context.symbol, b.text(signature, attributes))
    return KernelCode(
        str(module),
        context.symbol,
        tuple(context.messages),
        tuple(context.accesses.values()),
        waiting,
        endless=context.endless,
        sites=_sites(context),
    )


def _sites(context: Context) -> tuple[Site, ...]:
    return tuple(context.checks.sites) if context.checks is not None else ()


def _coroutine(context: Context, func: Func, schedule: Schedule, attributes: str) -> None:
    """The kernel whose programs wait for each other: a call runs or continues one of them."""

    def program(finished: str) -> None:
        _arguments(context, func)
        start = _start(context, schedule)
        context.program = _ids(start, schedule)
        context.leave = finished
        emit(context, [schedule.body])

    cooperative.coroutine(context, schedule.arena_bytes, program, attributes)
    cooperative.entry(context, attributes)


def _arguments(context: Context, func: Func) -> None:
    """The kernel's arguments from their slots."""
    if context.target.truncating_masked_stores:
        context.truth = context.b.icmp("ne", context.grid[2], context.b.int(0))
    for number, arg in enumerate(func.args):
        context.scalars[arg] = _argument(context, number, arg)
    if context.checks is not None:
        context.checks.begin(context.b, func, context.scalars)


def _attributes(target: Target) -> str:
    """Attributes of the kernel function. With `vscale_range` LLVM puts vectors of a fixed length into
    scalable registers of that length."""
    units = target.scalable_bits // SCALABLE_UNIT
    length = f" vscale_range({units},{units})" if units else ""
    return f'nounwind "no-builtin-memset" "no-builtin-memcpy"{length}'


def _alias_metadata(context: Context) -> None:
    """User memory, the arena and what checks know never overlap; loads and stores say which they touch."""
    module = context.module
    root = module.add_metadata('!{!"anychip"}')
    names = []
    for name in ("user", "arena", "check"):
        type = module.add_metadata(f'!{{!"{name}", {root}, i64 0}}')
        names.append(f", !tbaa {module.add_metadata(f'!{{{type}, {type}, i64 0}}')}")
    context.user_memory, context.arena_memory, context.check_memory = names


def _argument(context: Context, number: int, arg: Value) -> Val:
    b = context.b
    address = b.gep(Val("%args", PTR), number * SLOT)
    if isinstance(arg.element, PointerType):
        return b.load(PTR, address, SLOT)
    type = register_type(arg.element)
    if context.target.big_endian and arg.element.bytes < SLOT:
        address = b.gep(address, SLOT - arg.element.bytes)
    if type == I1:
        return b.cast("trunc", b.load(I8, address, 1), "i1")
    return b.load(type, address, arg.element.bytes)


def _extents(context: Context, schedule: Schedule) -> tuple[Val, Val]:
    """The grid's extents along the first axis and the second (y and x if the schedule is turned)."""
    x, y, _ = context.grid
    return (y, x) if schedule.y_fastest else (x, y)


def _start(context: Context, schedule: Schedule) -> tuple[Val, Val, Val]:
    """The ids of the program `first`, those of `_extents`' axes and z."""
    b = context.b
    first = Val("%first", I64)
    wide_x, wide_y = (b.cast("zext", extent, "i64") for extent in _extents(context, schedule))
    rows = b.binary("udiv", first, wide_x)
    return (
        b.cast("trunc", b.binary("urem", first, wide_x), "i32"),
        b.cast("trunc", b.binary("urem", rows, wide_y), "i32"),
        b.cast("trunc", b.binary("udiv", rows, wide_y), "i32"),
    )


def _ids(counted: tuple[Val, Val, Val], schedule: Schedule) -> tuple[Val, Val, Val]:
    """x, y and z of what is counted along the schedule's axes."""
    x, y, z = counted
    return (y, x, z) if schedule.y_fastest else (x, y, z)


def _programs(context: Context, schedule: Schedule) -> None:
    """The loop over program ids, with x, y and z counted along (y, x and z if the schedule is turned)."""
    b = context.b
    gx, gy = _extents(context, schedule)
    first, last = Val("%first", I64), Val("%last", I64)
    some, header, following, done = (b.label(n) for n in ("some", "program", "next", "finished"))
    b.cond_br(b.icmp("slt", first, last), some, done)
    b.place(some)
    start = _start(context, schedule)
    before = b.block
    b.place(header)
    program = b.phi(I64)
    program.add(first, before)
    ids = [b.phi(I32) for _ in range(3)]
    for phi, value in zip(ids, start, strict=True):
        phi.add(value, before)
    x, y, z = (p.val for p in ids)
    context.program = _ids((x, y, z), schedule)
    context.leave = following
    emit(context, [schedule.body])
    b.place(following)
    one = b.int(1)
    next_x = b.add(x, one)
    wrap_x = b.icmp("eq", next_x, gx)
    next_y = b.select(wrap_x, b.add(y, one), y)
    wrap_y = b.icmp("eq", next_y, gy)
    values = [
        b.select(wrap_x, b.int(0), next_x),
        b.select(wrap_y, b.int(0), next_y),
        b.select(wrap_y, b.add(z, one), z),
    ]
    next_program = b.raw(I64, f"add nuw nsw i64 {program.val.ref}, 1")
    program.add(next_program, b.block)
    for phi, value in zip(ids, values, strict=True):
        phi.add(value, b.block)
    b.cond_br(b.icmp("slt", next_program, last), header, done)
    b.place(done)
    b.effect("ret void")
    b.terminated = True

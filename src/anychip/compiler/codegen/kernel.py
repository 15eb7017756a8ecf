"""The kernel function: from a schedule to an LLVM module with one public symbol.

The symbol follows the kernel ABI: `void symbol(const uint64_t *args, int64_t first, int64_t last,
int32_t gx, int32_t gy, int32_t gz, void *arena)` runs the program instances first <= p < last,
p = x + gx * (y + gy * z), or p = y + gy * (x + gx * z) where the schedule says so. Each argument fills one
slot of 8 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Func, Value
from ..ir.types import PointerType
from ..schedule.steps import Schedule
from ..targets.target import Target
from .builder import I1, I8, I32, I64, PTR, Builder, LLModule
from .context import Access, Context
from .control import StepEmitter
from .llvm_types import Val, register_type

SLOT = 8
"""Bytes of one kernel argument."""

SCALABLE_UNIT = 128
"""Bits of a scalable register for each unit of LLVM's `vscale`."""


@dataclass(frozen=True, slots=True)
class KernelCode:
    """LLVM IR of one kernel, its public symbol, texts of its assertions, its memory accesses."""

    llvm_ir: str
    symbol: str
    messages: tuple[str, ...]
    accesses: tuple[Access, ...]


def generate(func: Func, schedule: Schedule, target: Target, data_layout: str = "") -> KernelCode:
    """LLVM IR for one scheduled kernel."""
    module = LLModule(target.triple, data_layout)
    module.nan_tests_of_integers = target.wrong_nan_tests
    b = Builder(module)
    arena = Val("%arena", PTR)
    context = Context(module, b, target, schedule.buffers, arena)
    _alias_metadata(context)
    context.grid = (Val("%gx", I32), Val("%gy", I32), Val("%gz", I32))
    if target.truncating_masked_stores:
        context.truth = b.icmp("ne", context.grid[2], b.int(0))
    for number, arg in enumerate(func.args):
        context.scalars[arg] = _argument(context, number, arg)
    symbol = f"anychip_{func.name}"
    _programs(context, schedule)
    signature = (
        f'define void @"{symbol}"(ptr noalias readonly %args, i64 %first, i64 %last, i32 %gx, i32 %gy, '
        "i32 %gz, ptr noalias align 64 %arena)"
    )
    module.add_function(symbol, b.text(signature, _attributes(target)))
    return KernelCode(str(module), symbol, tuple(context.messages), tuple(context.accesses.values()))


def _attributes(target: Target) -> str:
    """Attributes of the kernel function. With `vscale_range` LLVM puts vectors of a fixed length into
    scalable registers of that length."""
    units = target.scalable_bits // SCALABLE_UNIT
    length = f" vscale_range({units},{units})" if units else ""
    return f'nounwind "no-builtin-memset" "no-builtin-memcpy"{length}'


def _alias_metadata(context: Context) -> None:
    """User memory and the arena never overlap; loads and stores say which they touch."""
    module = context.module
    root = module.add_metadata('!{!"anychip"}')
    names = []
    for name in ("user", "arena"):
        type = module.add_metadata(f'!{{!"{name}", {root}, i64 0}}')
        names.append(f", !tbaa {module.add_metadata(f'!{{{type}, {type}, i64 0}}')}")
    context.user_memory, context.arena_memory = names


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


def _programs(context: Context, schedule: Schedule) -> None:
    """The loop over program ids, with x, y and z counted along (y, x and z if the schedule is turned)."""
    b = context.b
    turned = schedule.along_y
    gx, gy = (context.grid[axis] for axis in ((1, 0) if turned else (0, 1)))
    first, last = Val("%first", I64), Val("%last", I64)
    some, header, following, done = (b.label(n) for n in ("some", "program", "next", "finished"))
    b.cond_br(b.icmp("slt", first, last), some, done)
    b.place(some)
    wide_x, wide_y = b.cast("zext", gx, "i64"), b.cast("zext", gy, "i64")
    rows = b.binary("udiv", first, wide_x)
    start = [
        b.cast("trunc", b.binary("urem", first, wide_x), "i32"),
        b.cast("trunc", b.binary("urem", rows, wide_y), "i32"),
        b.cast("trunc", b.binary("udiv", rows, wide_y), "i32"),
    ]
    before = b.block
    b.place(header)
    program = b.phi(I64)
    program.add(first, before)
    ids = [b.phi(I32) for _ in range(3)]
    for phi, value in zip(ids, start, strict=True):
        phi.add(value, before)
    x, y, z = (p.val for p in ids)
    context.program = (y, x, z) if turned else (x, y, z)
    StepEmitter(context, following).graph(schedule.body)
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

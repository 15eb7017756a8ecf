"""LLVM IR of a library's own functions: the table of launches and the small interpreter that runs it.

A slot of a launch is a 64-bit number from the table plus the address of its owner: nothing, the arena,
the weights, or memory of the caller. The functions are those of the header (`header.py`); they keep all
that changes in the context and on the stack, so that contexts may run at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..compiler.targets import Target
from ..runtime.plan import round_up
from ..runtime.program import BufferKind, LaunchList
from ..runtime.slots import MASK64
from .lowering import Lowered
from .weights import HEADER_BYTES, MAGIC, Weights

ARENA_ALIGNMENT = 64
ARGUMENT_ALIGNMENT = 16


class Status(IntEnum):
    """What the functions of a library return."""

    OK = 0
    NULL_ARGUMENT = 1
    MISALIGNED = 2
    ARENA_TOO_SMALL = 3
    WEIGHTS_MISSING = 4
    WEIGHTS_WRONG = 5
    ASSERTION = 6


class Owner(IntEnum):
    """Whose address is added to a slot; the caller's memory follows, inputs before outputs."""

    NOTHING = 0
    ARENA = 1
    WEIGHTS = 2
    GIVEN = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a library's memory: bytes of temporaries, and of scratch for each worker."""

    temporary_bytes: int
    scratch_bytes: int

    @property
    def arena_bytes(self) -> int:
        """The arena of a library that runs on the calling thread alone."""
        return self.temporary_bytes + self.scratch_bytes


def layout_of(launches: LaunchList, lowered: Lowered) -> Layout:
    """The memory that the launches need."""
    scratch = max((kernel.arena_bytes for kernel in lowered.kernels), default=0)
    return Layout(round_up(launches.arena_bytes), round_up(max(scratch, ARENA_ALIGNMENT)))


def module(
    name: str,
    launches: LaunchList,
    lowered: Lowered,
    weights: Weights,
    target: Target,
    embedded: bool,
) -> str:
    """The module that is linked with the kernels'. `embedded`: the weights are in it."""
    layout = layout_of(launches, lowered)
    given = len(launches.inputs) + len(launches.outputs)
    word = f"i{target.pointer_bits}"
    parts = [
        _TYPES.replace("WORD", word),
        *(
            f'declare void @"{kernel.symbol}"(ptr, i64, i64, i32, i32, i32, ptr)'
            for kernel in lowered.kernels
        ),
        *_tables(launches, lowered, weights),
        _weights_data(weights, embedded),
        _TASK.replace("SCRATCH", str(layout.scratch_bytes)).replace("WORD", word),
        _replay(launches, layout, word),
        _arena_size(name, layout, word),
        _init(name, layout, word, embedded and bool(weights.data)),
        _PARALLEL.replace("NAME", name).replace("WORD", word),
        _run(name, launches, given, bool(weights.data), word),
    ]
    if weights.data and not embedded:
        parts.append(_SET_WEIGHTS.replace("NAME", name).replace("WORD", word))
    return "\n".join(parts)


_TYPES = """
; arena, its bytes, weights, parallel_for, pool, workers, failed launch, its assertion, its program
%context = type { ptr, WORD, ptr, ptr, ptr, i32, i32, i32, [3 x i32] }
; kernel, grid, number of slots
%step = type { ptr, i32, i32, i32, i32 }
; kernel, slots, grid, scratch memory, assertion that failed, its program
%job = type { ptr, ptr, i32, i32, i32, ptr, i32, [3 x i32] }
declare void @llvm.memcpy.p0.p0.WORD(ptr, ptr, WORD, i1)
"""

_TASK = """
; What one worker does of a launch: the programs from %first to before %last.
define internal void @task(ptr %job, i32 %worker, i64 %first, i64 %last) nounwind {
  %kernel = load ptr, ptr %job
  %slots_p = getelementptr %job, ptr %job, i32 0, i32 1
  %slots = load ptr, ptr %slots_p
  %gx_p = getelementptr %job, ptr %job, i32 0, i32 2
  %gx = load i32, ptr %gx_p
  %gy_p = getelementptr %job, ptr %job, i32 0, i32 3
  %gy = load i32, ptr %gy_p
  %gz_p = getelementptr %job, ptr %job, i32 0, i32 4
  %gz = load i32, ptr %gz_p
  %scratch_p = getelementptr %job, ptr %job, i32 0, i32 5
  %scratch = load ptr, ptr %scratch_p
  %offset = mul i32 %worker, SCRATCH
  %own = getelementptr i8, ptr %scratch, i32 %offset
  store i32 0, ptr %own, align 64
  call void %kernel(ptr %slots, i64 %first, i64 %last, i32 %gx, i32 %gy, i32 %gz, ptr %own)
  %status = load i32, ptr %own, align 64
  %well = icmp eq i32 %status, 0
  br i1 %well, label %done, label %failed
failed:
  %status_p = getelementptr %job, ptr %job, i32 0, i32 6
  %exchange = cmpxchg ptr %status_p, i32 0, i32 %status monotonic monotonic
  %is_first = extractvalue { i32, i1 } %exchange, 1
  br i1 %is_first, label %note, label %done
note:
  %from = getelementptr i8, ptr %own, i32 4
  %to = getelementptr %job, ptr %job, i32 0, i32 7
  call void @llvm.memcpy.p0.p0.WORD(ptr align 4 %to, ptr align 4 %from, WORD 12, i1 false)
  br label %done
done:
  ret void
}
"""

_PARALLEL = """
define signext i32 @NAME_set_parallel(ptr %c, ptr %parallel_for, ptr %pool, i32 signext %workers) nounwind {
  %no_context = icmp eq ptr %c, null
  %none = icmp slt i32 %workers, 1
  %wrong = or i1 %no_context, %none
  br i1 %wrong, label %missing, label %measure
missing:
  ret i32 1
measure:
  %needed = call WORD @NAME_arena_size_parallel(i32 signext %workers)
  %bytes_p = getelementptr %context, ptr %c, i32 0, i32 1
  %bytes = load WORD, ptr %bytes_p
  %small = icmp ult WORD %bytes, %needed
  br i1 %small, label %too_small, label %set
too_small:
  ret i32 3
set:
  %parallel_p = getelementptr %context, ptr %c, i32 0, i32 3
  store ptr %parallel_for, ptr %parallel_p
  %pool_p = getelementptr %context, ptr %c, i32 0, i32 4
  store ptr %pool, ptr %pool_p
  %workers_p = getelementptr %context, ptr %c, i32 0, i32 5
  store i32 %workers, ptr %workers_p
  ret i32 0
}
"""

_SET_WEIGHTS = """
define signext i32 @NAME_set_weights(ptr %c, ptr %file, WORD %bytes) nounwind {
  %no_context = icmp eq ptr %c, null
  %no_file = icmp eq ptr %file, null
  %null = or i1 %no_context, %no_file
  br i1 %null, label %missing, label %place
missing:
  ret i32 1
place:
  %address = ptrtoint ptr %file to WORD
  %low = and WORD %address, 63
  %aligned = icmp eq WORD %low, 0
  br i1 %aligned, label %size, label %misaligned
misaligned:
  ret i32 2
size:
  %expected = load WORD, ptr @weights.bytes
  %same = icmp eq WORD %bytes, %expected
  br i1 %same, label %compare, label %wrong
compare:
  %k = phi i32 [ 0, %size ], [ %next, %equal ]
  %more = icmp ult i32 %k, 40
  br i1 %more, label %byte, label %set
byte:
  %own_p = getelementptr i8, ptr @weights.header, i32 %k
  %own = load i8, ptr %own_p
  %given_p = getelementptr i8, ptr %file, i32 %k
  %given = load i8, ptr %given_p
  %next = add i32 %k, 1
  %match = icmp eq i8 %own, %given
  br i1 %match, label %equal, label %wrong
equal:
  br label %compare
wrong:
  ret i32 5
set:
  %data = getelementptr i8, ptr %file, i32 64
  %weights_p = getelementptr %context, ptr %c, i32 0, i32 2
  store ptr %data, ptr %weights_p
  ret i32 0
}
"""


def _tables(launches: LaunchList, lowered: Lowered, weights: Weights) -> list[str]:
    given = {number: Owner.GIVEN + k for k, number in enumerate((*launches.inputs, *launches.outputs))}
    steps, values, owners = [], [], []
    for recorded, kernel in zip(launches.launches, lowered.of_launch):
        own_values = [value & MASK64 for value in recorded.slots]
        own_owners = [int(Owner.NOTHING)] * len(own_values)
        for pointer in recorded.pointers:
            kind = launches.buffers[pointer.buffer].kind
            base, owner = 0, given.get(pointer.buffer, 0)
            if kind is BufferKind.TEMPORARY:
                base, owner = launches.places[pointer.buffer], Owner.ARENA
            elif kind is BufferKind.CONSTANT:
                base, owner = weights.offsets[pointer.buffer], Owner.WEIGHTS
            own_values[pointer.slot] = base + pointer.offset
            own_owners[pointer.slot] = int(owner)
        values += own_values
        owners += own_owners
        grid = ", ".join(f"i32 {extent}" for extent in recorded.grid)
        symbol = lowered.kernels[kernel].symbol
        steps.append(f'%step {{ ptr @"{symbol}", {grid}, i32 {len(own_values)} }}')
    return [
        f"@steps = internal constant [{len(steps)} x %step] [{', '.join(steps)}]",
        f"@values = internal constant [{len(values)} x i64] [{', '.join(f'i64 {v}' for v in values)}]",
        f"@owners = internal constant [{len(owners)} x i8] [{', '.join(f'i8 {v}' for v in owners)}]",
    ]


def _weights_data(weights: Weights, embedded: bool) -> str:
    if not weights.data:
        return ""
    if embedded:
        return f"@weights = internal constant {_bytes(weights.data)}, align 64"
    return (
        f"@weights.header = internal constant {_bytes(MAGIC + weights.digest)}\n"
        f"@weights.bytes = internal constant i64 {HEADER_BYTES + len(weights.data)}"
    )


def _bytes(data: bytes) -> str:
    text = data.hex("\\")
    return f'[{len(data)} x i8] c"\\{text}"'


def _replay(launches: LaunchList, layout: Layout, word: str) -> str:
    widest = max((len(recorded.slots) for recorded in launches.launches), default=1)
    return f"""
; Runs all launches; %bases are the addresses of the owners.
define internal i32 @replay(ptr %c, ptr %bases) nounwind {{
entry:
  %slots = alloca [{max(widest, 1)} x i64], align 8
  %job = alloca %job, align 8
  %arena = load ptr, ptr %c
  %scratch = getelementptr i8, ptr %arena, {word} {layout.temporary_bytes}
  %slots_p = getelementptr %job, ptr %job, i32 0, i32 1
  store ptr %slots, ptr %slots_p
  %scratch_p = getelementptr %job, ptr %job, i32 0, i32 5
  store ptr %scratch, ptr %scratch_p
  %status_p = getelementptr %job, ptr %job, i32 0, i32 6
  store i32 0, ptr %status_p
  %parallel_p = getelementptr %context, ptr %c, i32 0, i32 3
  %parallel_for = load ptr, ptr %parallel_p
  %alone = icmp eq ptr %parallel_for, null
  br label %next
next:
  %i = phi i32 [ 0, %entry ], [ %i_after, %ran ]
  %place = phi i32 [ 0, %entry ], [ %end, %ran ]
  %more = icmp ult i32 %i, {len(launches.launches)}
  br i1 %more, label %prepare, label %well
prepare:
  %step = getelementptr %step, ptr @steps, i32 %i
  %kernel = load ptr, ptr %step
  store ptr %kernel, ptr %job
  %gx_from = getelementptr %step, ptr %step, i32 0, i32 1
  %gx = load i32, ptr %gx_from
  %gx_to = getelementptr %job, ptr %job, i32 0, i32 2
  store i32 %gx, ptr %gx_to
  %gy_from = getelementptr %step, ptr %step, i32 0, i32 2
  %gy = load i32, ptr %gy_from
  %gy_to = getelementptr %job, ptr %job, i32 0, i32 3
  store i32 %gy, ptr %gy_to
  %gz_from = getelementptr %step, ptr %step, i32 0, i32 3
  %gz = load i32, ptr %gz_from
  %gz_to = getelementptr %job, ptr %job, i32 0, i32 4
  store i32 %gz, ptr %gz_to
  %gx_wide = zext i32 %gx to i64
  %gy_wide = zext i32 %gy to i64
  %gz_wide = zext i32 %gz to i64
  %plane = mul i64 %gx_wide, %gy_wide
  %total = mul i64 %plane, %gz_wide
  %count_p = getelementptr %step, ptr %step, i32 0, i32 4
  %count = load i32, ptr %count_p
  %end = add i32 %place, %count
  br label %fill
fill:
  %k = phi i32 [ %place, %prepare ], [ %k_after, %put ]
  %filling = icmp ult i32 %k, %end
  br i1 %filling, label %put, label %launch
put:
  %value_p = getelementptr i64, ptr @values, i32 %k
  %value = load i64, ptr %value_p
  %owner_p = getelementptr i8, ptr @owners, i32 %k
  %owner = load i8, ptr %owner_p
  %owner_wide = zext i8 %owner to i32
  %base_p = getelementptr i64, ptr %bases, i32 %owner_wide
  %base = load i64, ptr %base_p
  %sum = add i64 %value, %base
  %number = sub i32 %k, %place
  %slot = getelementptr i64, ptr %slots, i32 %number
  store i64 %sum, ptr %slot
  %k_after = add i32 %k, 1
  br label %fill
launch:
  br i1 %alone, label %here, label %shared
here:
  call void @task(ptr %job, i32 0, i64 0, i64 %total)
  br label %ran
shared:
  %pool_p = getelementptr %context, ptr %c, i32 0, i32 4
  %pool = load ptr, ptr %pool_p
  %workers_p = getelementptr %context, ptr %c, i32 0, i32 5
  %workers = load i32, ptr %workers_p
  call void %parallel_for(ptr %pool, ptr @task, ptr %job, i64 %total, i32 signext %workers)
  br label %ran
ran:
  %status = load i32, ptr %status_p
  %i_after = add i32 %i, 1
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %next, label %failed
failed:
  %launch_p = getelementptr %context, ptr %c, i32 0, i32 6
  store i32 %i, ptr %launch_p
  %assertion_p = getelementptr %context, ptr %c, i32 0, i32 7
  store i32 %status, ptr %assertion_p
  %from = getelementptr %job, ptr %job, i32 0, i32 7
  %to = getelementptr %context, ptr %c, i32 0, i32 8
  call void @llvm.memcpy.p0.p0.{word}(ptr align 4 %to, ptr align 4 %from, {word} 12, i1 false)
  ret i32 {int(Status.ASSERTION)}
well:
  ret i32 0
}}
"""


def _arena_size(name: str, layout: Layout, word: str) -> str:
    widen = "add i32 %all, 0" if word == "i32" else f"zext i32 %all to {word}"
    return f"""
define {word} @{name}_arena_size() nounwind {{
  ret {word} {layout.arena_bytes}
}}

define {word} @{name}_arena_size_parallel(i32 signext %workers) nounwind {{
  %all = mul i32 %workers, {layout.scratch_bytes}
  %scratch = {widen}
  %bytes = add {word} %scratch, {layout.temporary_bytes}
  ret {word} %bytes
}}
"""


def _init(name: str, layout: Layout, word: str, has_weights: bool) -> str:
    weights = "@weights" if has_weights else "null"
    return f"""
define signext i32 @{name}_init(ptr %c, ptr %arena, {word} %bytes) nounwind {{
  %no_context = icmp eq ptr %c, null
  %no_arena = icmp eq ptr %arena, null
  %null = or i1 %no_context, %no_arena
  br i1 %null, label %missing, label %place
missing:
  ret i32 {int(Status.NULL_ARGUMENT)}
place:
  %address = ptrtoint ptr %arena to {word}
  %low = and {word} %address, {ARENA_ALIGNMENT - 1}
  %aligned = icmp eq {word} %low, 0
  br i1 %aligned, label %size, label %misaligned
misaligned:
  ret i32 {int(Status.MISALIGNED)}
size:
  %small = icmp ult {word} %bytes, {layout.arena_bytes}
  br i1 %small, label %too_small, label %set
too_small:
  ret i32 {int(Status.ARENA_TOO_SMALL)}
set:
  store ptr %arena, ptr %c
  %bytes_p = getelementptr %context, ptr %c, i32 0, i32 1
  store {word} %bytes, ptr %bytes_p
  %weights_p = getelementptr %context, ptr %c, i32 0, i32 2
  store ptr {weights}, ptr %weights_p
  %parallel_p = getelementptr %context, ptr %c, i32 0, i32 3
  store ptr null, ptr %parallel_p
  %pool_p = getelementptr %context, ptr %c, i32 0, i32 4
  store ptr null, ptr %pool_p
  %workers_p = getelementptr %context, ptr %c, i32 0, i32 5
  store i32 1, ptr %workers_p
  %launch_p = getelementptr %context, ptr %c, i32 0, i32 6
  store i32 -1, ptr %launch_p
  %assertion_p = getelementptr %context, ptr %c, i32 0, i32 7
  store i32 0, ptr %assertion_p
  %program_p = getelementptr %context, ptr %c, i32 0, i32 8
  store [3 x i32] zeroinitializer, ptr %program_p, align 4
  ret i32 0
}}
"""


def _run(name: str, launches: LaunchList, given: int, has_weights: bool, word: str) -> str:
    """The function that takes the caller's memory. Arguments without bytes may be null."""
    numbers = (*launches.inputs, *launches.outputs)
    needed = [k for k, number in enumerate(numbers) if launches.buffers[number].size]
    parameters = "".join(f", ptr %a{k}" for k in range(given))
    null, bits = ["%null_c"], []
    lines = ["  %null_c = icmp eq ptr %c, null"]
    for k in range(given):
        lines.append(f"  %i{k} = ptrtoint ptr %a{k} to {word}")
    for k in needed:
        lines.append(f"  %null{k} = icmp eq ptr %a{k}, null")
        null.append(f"%null{k}")
        bits.append(f"%i{k}")
    any_null, any_bits = _chain(lines, "or i1", null, "any_null"), _chain(lines, f"or {word}", bits, "bits")
    lines += [
        f"  br i1 {any_null}, label %missing, label %alignment",
        f"missing:\n  ret i32 {int(Status.NULL_ARGUMENT)}",
        "alignment:",
        f"  %low = and {word} {any_bits or 0}, {ARGUMENT_ALIGNMENT - 1}",
        f"  %aligned = icmp eq {word} %low, 0",
        "  br i1 %aligned, label %weights, label %misaligned",
        f"misaligned:\n  ret i32 {int(Status.MISALIGNED)}",
        "weights:",
        "  %weights_p = getelementptr %context, ptr %c, i32 0, i32 2",
        "  %weights_address = load ptr, ptr %weights_p",
        "  %no_weights = icmp eq ptr %weights_address, null",
        f"  %unready = and i1 %no_weights, {str(has_weights).lower()}",
        "  br i1 %unready, label %no_data, label %ready",
        f"no_data:\n  ret i32 {int(Status.WEIGHTS_MISSING)}",
        "ready:",
        f"  %bases = alloca [{Owner.GIVEN + given} x i64], align 8",
        "  store i64 0, ptr %bases",
        "  %arena = load ptr, ptr %c",
        "  %arena_address = ptrtoint ptr %arena to i64",
        "  %arena_base = getelementptr i64, ptr %bases, i32 1",
        "  store i64 %arena_address, ptr %arena_base",
        "  %weights_number = ptrtoint ptr %weights_address to i64",
        "  %weights_base = getelementptr i64, ptr %bases, i32 2",
        "  store i64 %weights_number, ptr %weights_base",
    ]
    for k in range(given):
        lines += [
            f"  %wide{k} = ptrtoint ptr %a{k} to i64",
            f"  %base{k} = getelementptr i64, ptr %bases, i32 {Owner.GIVEN + k}",
            f"  store i64 %wide{k}, ptr %base{k}",
        ]
    body = "\n".join(lines)
    return f"""
define signext i32 @{name}_run(ptr %c{parameters}) nounwind {{
{body}
  %result = call i32 @replay(ptr %c, ptr %bases)
  ret i32 %result
}}
"""


def _chain(lines: list[str], operation: str, values: list[str], name: str) -> str:
    """`operation` over all values; "" without values."""
    if not values:
        return ""
    total = values[0]
    for k, value in enumerate(values[1:]):
        lines.append(f"  %{name}{k} = {operation} {total}, {value}")
        total = f"%{name}{k}"
    return total

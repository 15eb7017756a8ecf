"""Structures and codes that Python and the native code share. Each is described once: `X.ctypes` is Python's
class of it, `X.at(f, address)` gives LLVM IR its fields by the same names."""

from __future__ import annotations

from enum import IntEnum

from ...compiler.llvm.struct import TEXT, Struct
from ...compiler.llvm.types import I8, I32, I64, PTR, array

CACHE_LINE = 64

PROGRAM = array(I32, 3)
"""The place of a program instance in the grid: x, y, z."""


class EventKind(IntEnum):
    """What an event is about."""

    LAUNCH = 0
    CALL = 1


class Code(IntEnum):
    """What a launch came to; numbers above 0 are those of a failed assertion, plus one."""

    DONE = 0
    OUT_OF_MEMORY = -1
    GRID_TOO_LARGE = -2
    TOO_MANY_PROGRAMS = -3
    INTERRUPTED = -4


STATE = Struct(
    "state",
    "The native runtime's state, one for the process. `current` is the job of Python's main thread that "
    "signals find, `raised_...` what Python's handlers raised (see `interrupt`). `events` is where launches "
    "are written down (see `events`), null while nobody profiles.",
    lock=I64,
    free_blocks=PTR,
    arena_bytes=I64,
    arena_bytes_peak=I64,
    diverted=I64,
    run_team=PTR,
    team_member=PTR,
    in_team=PTR,
    thread_count=PTR,
    thread_limit=I64,
    pool=PTR,
    main_thread=I64,
    current=PTR,
    previous_handler=PTR,
    first_handler=PTR,
    inside_handler=I64,
    kernels=PTR,
    raised_type=PTR,
    raised_value=PTR,
    raised_traceback=PTR,
    events=PTR,
)

FUNCTION = Struct(
    "function",
    "What native code knows of a loaded kernel. `grain`: program instances that a thread takes at once (0: "
    "by the rules of `grid`). `waiting`: whether its programs wait for each other (see `cooperative`). "
    "`endless`: whether it has loops that may never end, and looks for signals in them. `slots`: the "
    "arguments of a launch that runs; `slot_count`: how many they are.",
    entry=PTR,
    arena_bytes=I64,
    launches=I64,
    picoseconds=I64,
    grain=I64,
    waiting=I64,
    endless=I64,
    slots=PTR,
    slot_count=I64,
)

KERNEL = Struct(
    "kernel",
    "What the handler of faults knows of a loaded kernel: where its code is, its name and source, and the "
    "`pointers` among its arguments: numbers of their slots and names. `next` is another kernel.",
    next=PTR,
    first=I64,
    last=I64,
    name=TEXT,
    record=PTR,
    pointers=I64,
    numbers=PTR,
    names=PTR,
)

ARENA = Struct(
    "arena",
    "The status block of a program's scratch memory. `status` is the number of a failed assertion plus one, "
    "then the program's id. `handle` belongs to the kernel: it is not null while the program waits. `next` "
    "links arenas of programs that wait, or are over. Where the word at `attention` is not zero, a kernel "
    "in a loop calls `poll` with its arena, and leaves if the answer is not zero.",
    status=I32,
    program=PROGRAM,
    handle=PTR,
    next=PTR,
    attention=PTR,
    poll=PTR,
    job=PTR,
)

BLOCK = Struct(
    "block",
    "Head of a leased piece of scratch memory; the memory follows after `CACHE_LINE` bytes.",
    next=PTR,
    bytes=I64,
)

JOB = Struct(
    "job",
    "One launch while it runs, shared by the threads of its team. `work` is what each of them does: `void "
    "work(job *, int64_t member)`. `attention` is not zero when there is a failure or a signal to see to. "
    "`completed` counts programs of kernels that may be `endless`. `nanoseconds` is the time of all members "
    "together, `longest` that of the one that worked longest.",
    entry=PTR,
    slots=PTR,
    total=I64,
    chunk=I64,
    members=I64,
    grid_x=I32,
    grid_y=I32,
    grid_z=I32,
    failure=I32,
    program=PROGRAM,
    counters=PTR,
    arenas=PTR,
    arena_bytes=I64,
    member_of_team=PTR,
    nanoseconds=I64,
    arena_count=I64,
    work=PTR,
    attention=I32,
    endless=I64,
    completed=I64,
    state=PTR,
    longest=I64,
)

_LOCK = array(I8, 128)
"""Room for a mutex or a condition of any platform's."""

POOL = Struct(
    "pool",
    "Threads of our own.",
    mutex=_LOCK,
    started=_LOCK,
    finished=_LOCK,
    generation=I64,
    size=I64,
    pending=I64,
    job=PTR,
    busy=I64,
)

WORKER = Struct("worker", "What a thread of the pool is started with.", pool=PTR, index=I64, generation=I64)

PLAN = Struct(
    "plan",
    "What the native launcher knows of one kernel's launches, and the codes of `slots.Opcodes` after it. "
    "Python objects are borrowed: whoever makes the launcher keeps them.",
    state=PTR,
    fallback=PTR,
    fail=PTR,
    none=PTR,
    false=PTR,
    data_ptr=PTR,
    is_cpu=PTR,
    calls=PTR,
    parameters=I64,
    packed=I64,
    slots=I64,
)

STEP = Struct(
    "step",
    "One launch of a launch list. `slots` is how many of the list's slots are its own; `function` is a "
    "record for this launch alone, so that its time is estimated by itself.",
    function=FUNCTION,
    slots=I64,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
)

REPLAY = Struct(
    "replay",
    "A launch list. Slot k of the list holds `offsets[k] + bases[owners[k]]`; `widest` is the largest "
    "number of slots of a step.",
    steps=PTR,
    count=I64,
    offsets=PTR,
    owners=PTR,
    widest=I64,
    arena_bytes=I64,
)

EVENTS = Struct(
    "events",
    "A buffer of events: `capacity` 64-bit words, of which `used` are taken and `written` filled. `lost` "
    "counts events that found no room.",
    words=PTR,
    capacity=I64,
    used=I64,
    written=I64,
    lost=I64,
)

EVENT = Struct(
    "event",
    "One launch of a kernel, with the slots of its arguments behind it; or a call of an operator. `words`: "
    "how many it takes with its slots. `subject` is the function's record, or the call's. Times are "
    "nanoseconds of the clock that only goes forward. `members` threads worked `busy` nanoseconds together, "
    "one of them `longest`; both are 0 where nobody looked at a clock.",
    words=I64,
    kind=I64,
    subject=PTR,
    begin=I64,
    end=I64,
    thread=I64,
    members=I64,
    busy=I64,
    longest=I64,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
)

MEASURED = Struct(
    "measured", "What a launch tells of its team (see `EVENT`).", members=I64, busy=I64, longest=I64
)

FAILURE = Struct(
    "failure", "Where a replay stopped: a program instance of a step.", program=PROGRAM, step=I32
)

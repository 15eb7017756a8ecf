"""Layouts of the structures that Python and the native code share, as byte offsets.

Python sees them as ctypes structures, LLVM IR as `getelementptr i8` with the numbers taken from
those structures, so that each layout is written once.
"""

from __future__ import annotations

import ctypes

CACHE_LINE = 64


class State(ctypes.Structure):
    """The native runtime's state, one for the process. `current` is the job of Python's main thread that
    signals find, `raised_...` what Python's handlers raised (see `interrupt`)."""

    _fields_ = (
        ("lock", ctypes.c_int64),
        ("free_blocks", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("arena_bytes_peak", ctypes.c_int64),
        ("diverted", ctypes.c_int64),
        ("run_team", ctypes.c_void_p),
        ("team_member", ctypes.c_void_p),
        ("in_team", ctypes.c_void_p),
        ("thread_count", ctypes.c_void_p),
        ("thread_limit", ctypes.c_int64),
        ("pool", ctypes.c_void_p),
        ("main_thread", ctypes.c_int64),
        ("current", ctypes.c_void_p),
        ("previous_handler", ctypes.c_void_p),
        ("first_handler", ctypes.c_void_p),
        ("inside_handler", ctypes.c_int64),
        ("detail", ctypes.c_int64),
        ("kernels", ctypes.c_void_p),
        ("raised_type", ctypes.c_void_p),
        ("raised_value", ctypes.c_void_p),
        ("raised_traceback", ctypes.c_void_p),
    )


class FunctionRecord(ctypes.Structure):
    """What native code knows of a loaded kernel. `grain`: program instances that a thread takes at once
    (0: by the rules of `grid`). `waiting`: whether its programs wait for each other (see `cooperative`).
    `endless`: whether it has loops that may never end, and looks for signals in them. `slots`: the arguments
    of a launch that runs."""

    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("launches", ctypes.c_int64),
        ("picoseconds", ctypes.c_int64),
        ("grain", ctypes.c_int64),
        ("waiting", ctypes.c_int64),
        ("endless", ctypes.c_int64),
        ("slots", ctypes.c_void_p),
    )


class Kernel(ctypes.Structure):
    """What the handler of faults knows of a loaded kernel: where its code is, its name and source, and the
    `pointers` among its arguments: numbers of their slots and names. `next` is another kernel."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("last", ctypes.c_int64),
        ("name", ctypes.c_char_p),
        ("record", ctypes.c_void_p),
        ("pointers", ctypes.c_int64),
        ("numbers", ctypes.c_void_p),
        ("names", ctypes.c_void_p),
    )


class Arena(ctypes.Structure):
    """The status block of a program's scratch memory. `status` is the number of a failed assertion plus one,
    then the program's id. `handle` belongs to the kernel: it is not null while the program waits. `next`
    links arenas of programs that wait, or are over. Where the word at `attention` is not zero, a kernel
    in a loop calls `poll` with its arena, and leaves if the answer is not zero."""

    _fields_ = (
        ("status", ctypes.c_int32),
        ("program", ctypes.c_int32 * 3),
        ("handle", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("attention", ctypes.c_void_p),
        ("poll", ctypes.c_void_p),
        ("job", ctypes.c_void_p),
        ("detail", ctypes.c_int64),
    )


class Block(ctypes.Structure):
    """Head of a leased piece of scratch memory; the memory follows after `CACHE_LINE` bytes."""

    _fields_ = (("next", ctypes.c_void_p), ("bytes", ctypes.c_int64))


class Job(ctypes.Structure):
    """One launch while it runs, shared by the threads of its team. `work` is what each of them does:
    `void work(Job *, int64_t member)`. `attention` is not zero when there is a failure or a signal to see to.
    `completed` counts programs of kernels that may be `endless`."""

    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("total", ctypes.c_int64),
        ("chunk", ctypes.c_int64),
        ("members", ctypes.c_int64),
        ("grid_x", ctypes.c_int32),
        ("grid_y", ctypes.c_int32),
        ("grid_z", ctypes.c_int32),
        ("failure", ctypes.c_int32),
        ("program_x", ctypes.c_int32),
        ("program_y", ctypes.c_int32),
        ("program_z", ctypes.c_int32),
        ("padding", ctypes.c_int32),
        ("counters", ctypes.c_void_p),
        ("arenas", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("member_of_team", ctypes.c_void_p),
        ("nanoseconds", ctypes.c_int64),
        ("arena_count", ctypes.c_int64),
        ("work", ctypes.c_void_p),
        ("attention", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("endless", ctypes.c_int64),
        ("completed", ctypes.c_int64),
        ("state", ctypes.c_void_p),
        ("detail", ctypes.c_int64),
    )


class Pool(ctypes.Structure):
    """Threads of our own. Mutex and conditions lie in fields larger than any platform's."""

    _fields_ = (
        ("mutex", ctypes.c_char * 128),
        ("started", ctypes.c_char * 128),
        ("finished", ctypes.c_char * 128),
        ("generation", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("pending", ctypes.c_int64),
        ("job", ctypes.c_void_p),
        ("busy", ctypes.c_int64),
    )


class Worker(ctypes.Structure):
    """What a thread of the pool is started with."""

    _fields_ = (("pool", ctypes.c_void_p), ("index", ctypes.c_int64), ("generation", ctypes.c_int64))


class Plan(ctypes.Structure):
    """What the native launcher knows of one kernel's launches. One byte for each parameter
    follows: how it is packed (`slots.Slot`). Python objects are borrowed: whoever makes the
    launcher keeps them."""

    _fields_ = (
        ("state", ctypes.c_void_p),
        ("fallback", ctypes.c_void_p),
        ("fail", ctypes.c_void_p),
        ("none", ctypes.c_void_p),
        ("false", ctypes.c_void_p),
        ("data_ptr", ctypes.c_void_p),
        ("is_cpu", ctypes.c_void_p),
        ("calls", ctypes.c_void_p),
        ("parameters", ctypes.c_int64),
        ("slots", ctypes.c_int64),
    )


class Step(ctypes.Structure):
    """One launch of a launch list. `slots` is how many of the list's slots are its own; `function`
    is a record for this launch alone, so that its time is estimated by itself."""

    _fields_ = (
        ("function", FunctionRecord),
        ("slots", ctypes.c_int64),
        ("grid_x", ctypes.c_int64),
        ("grid_y", ctypes.c_int64),
        ("grid_z", ctypes.c_int64),
    )


class Replay(ctypes.Structure):
    """A launch list. Slot k of the list holds `offsets[k] + bases[owners[k]]`; `widest` is the largest
    number of slots of a step."""

    _fields_ = (
        ("steps", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("offsets", ctypes.c_void_p),
        ("owners", ctypes.c_void_p),
        ("widest", ctypes.c_int64),
        ("arena_bytes", ctypes.c_int64),
    )


class Failure(ctypes.Structure):
    """Where a replay stopped: a program instance of a step."""

    _fields_ = (("program", ctypes.c_int32 * 3), ("step", ctypes.c_int32))


STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "state": State,
    "function": FunctionRecord,
    "arena": Arena,
    "kernel": Kernel,
    "block": Block,
    "job": Job,
    "pool": Pool,
    "worker": Worker,
    "plan": Plan,
    "step": Step,
    "replay": Replay,
    "failure": Failure,
}


def accessors() -> str:
    """LLVM IR of one inlined function for each field, `@<structure>.<field>(ptr) -> ptr`, that
    gives the field's address."""
    return "\n".join(
        f"define internal ptr @{structure}.{name}(ptr %s) alwaysinline {{\n"
        f"  %p = getelementptr i8, ptr %s, i64 {getattr(type_, name).offset}\n"
        "  ret ptr %p\n}"
        for structure, type_ in STRUCTURES.items()
        for name, *_ in type_._fields_
    )

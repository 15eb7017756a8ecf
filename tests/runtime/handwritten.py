"""Kernels in LLVM IR that follow the kernel ABI, to test the runtime without the compiler."""

from __future__ import annotations

from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.runtime.binary import KernelBinary
from anychip.runtime.function import Function

SIGNATURE = "define void @{name}(ptr %args, i64 %first, i64 %last, i32 %gx, i32 %gy, i32 %gz, ptr %arena)"

VISIT = """
declare i64 @pthread_self()
; Adds one to counts[p] for every program p, and writes the thread that did it to threads[p].
SIGNATURE {
entry:
  %counts = load ptr, ptr %args
  %threads_slot = getelementptr i64, ptr %args, i64 1
  %threads = load ptr, ptr %threads_slot
  %self = call i64 @pthread_self()
  br label %test
test:
  %p = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %p, %last
  br i1 %more, label %body, label %end
body:
  %count_p = getelementptr i64, ptr %counts, i64 %p
  %count = load i64, ptr %count_p
  %new = add i64 %count, 1
  store i64 %new, ptr %count_p
  %thread_p = getelementptr i64, ptr %threads, i64 %p
  store i64 %self, ptr %thread_p
  %next = add i64 %p, 1
  br label %test
end:
  ret void
}
"""

TALLY = """
; out[0] += last - first; out[1..3] = grid.
SIGNATURE {
  %out = load ptr, ptr %args
  %number = sub i64 %last, %first
  %old = atomicrmw add ptr %out, i64 %number monotonic
  %x = sext i32 %gx to i64
  %y = sext i32 %gy to i64
  %z = sext i32 %gz to i64
  %xp = getelementptr i64, ptr %out, i64 1
  %yp = getelementptr i64, ptr %out, i64 2
  %zp = getelementptr i64, ptr %out, i64 3
  store atomic i64 %x, ptr %xp monotonic, align 8
  store atomic i64 %y, ptr %yp monotonic, align 8
  store atomic i64 %z, ptr %zp monotonic, align 8
  ret void
}
"""

ECHO = """
; Copies the SLOTS slots from the second on to the array in the first.
SIGNATURE {
entry:
  %out = load ptr, ptr %args
  br label %copy
copy:
  %i = phi i64 [ 1, %entry ], [ %next, %copy ]
  %from = getelementptr i64, ptr %args, i64 %i
  %value = load i64, ptr %from
  %to = getelementptr i64, ptr %out, i64 %i
  store i64 %value, ptr %to
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, SLOTS
  br i1 %more, label %copy, label %end
end:
  ret void
}
"""

SCRATCH = """
; Fills the arena with the program's id and counts in errors what does not stay.
SIGNATURE {
entry:
  %errors = load ptr, ptr %args
  %tag_slot = getelementptr i64, ptr %args, i64 1
  %tag = load i64, ptr %tag_slot
  br label %test
test:
  %p = phi i64 [ %first, %entry ], [ %next, %checked ]
  %more = icmp slt i64 %p, %last
  br i1 %more, label %begin, label %end
begin:
  %mark = add i64 %p, %tag
  br label %fill
fill:
  %i = phi i64 [ 8, %begin ], [ %i_next, %fill ]
  %cell = getelementptr i64, ptr %arena, i64 %i
  store volatile i64 %mark, ptr %cell
  %i_next = add i64 %i, 1
  %filling = icmp ult i64 %i_next, 1024
  br i1 %filling, label %fill, label %check
check:
  %j = phi i64 [ 8, %fill ], [ %j_next, %count ]
  %read = getelementptr i64, ptr %arena, i64 %j
  %value = load volatile i64, ptr %read
  %wrong = icmp ne i64 %value, %mark
  br i1 %wrong, label %report, label %count
report:
  %old = atomicrmw add ptr %errors, i64 1 monotonic
  br label %count
count:
  %j_next = add i64 %j, 1
  %checking = icmp ult i64 %j_next, 1024
  br i1 %checking, label %check, label %checked
checked:
  %next = add i64 %p, 1
  br label %test
end:
  ret void
}
"""

ASSERT = """
; Fails assertion 2 in program `bad`.
SIGNATURE {
entry:
  %bad = load i64, ptr %args
  %past = icmp slt i64 %bad, %last
  %reached = icmp sge i64 %bad, %first
  %fails = and i1 %past, %reached
  br i1 %fails, label %fail, label %end
fail:
  store i32 2, ptr %arena
  %x_p = getelementptr i32, ptr %arena, i64 1
  %y_p = getelementptr i32, ptr %arena, i64 2
  %z_p = getelementptr i32, ptr %arena, i64 3
  %x = trunc i64 %bad to i32
  store i32 %x, ptr %x_p
  store i32 0, ptr %y_p
  store i32 0, ptr %z_p
  br label %end
end:
  ret void
}
"""


def binary(
    name: str,
    text: str,
    arg_types: tuple[str, ...],
    *,
    arena_bytes: int = 64,
    messages: tuple[str, ...] = (),
) -> KernelBinary:
    """`text` compiled for this machine."""
    source = text.replace("SIGNATURE", SIGNATURE.format(name=name)).replace("SLOTS", str(len(arg_types)))
    target = targets.host()
    return KernelBinary(
        name, name, arena_bytes, arg_types, messages, target.name, machine.emit_object(source, target)
    )


def function(name: str, text: str, arg_types: tuple[str, ...], **properties: object) -> Function:
    """`text` compiled for this machine and loaded."""
    return Function(binary(name, text, arg_types, **properties))  # type: ignore[arg-type]

"""LLVM IR that runs a recorded list of launches in one call.

Each step's slots are made from the list's offsets and the bases of this call's buffers, on the
stack of the calling thread, so one list may be replayed by several threads at once. Temporaries
lie in one block of scratch memory, leased for the call.
"""

from __future__ import annotations

import ctypes

from .grid import OUT_OF_MEMORY
from .layout import CACHE_LINE, Step

_RUN_ARGUMENTS = "ptr %state, ptr %function, ptr %slots, i64 %gx, i64 %gy, i64 %gz, ptr %program"

REPLAY = f"""
; Runs the list %replay. %bases holds one address for each owner: 0 for what needs none, then the
; arena, which is filled in here, then what the caller gives. Returns 0 or the code of the launch that
; failed; %failure says which.
define i32 @anychip.replay(ptr %state, ptr %replay, ptr %bases, ptr %failure) {{
entry:
  %steps_p = call ptr @replay.steps(ptr %replay)
  %steps = load ptr, ptr %steps_p
  %count_p = call ptr @replay.count(ptr %replay)
  %count = load i64, ptr %count_p
  %offsets_p = call ptr @replay.offsets(ptr %replay)
  %offsets = load ptr, ptr %offsets_p
  %owners_p = call ptr @replay.owners(ptr %replay)
  %owners = load ptr, ptr %owners_p
  %widest_p = call ptr @replay.widest(ptr %replay)
  %widest = load i64, ptr %widest_p
  %arena_bytes_p = call ptr @replay.arena_bytes(ptr %replay)
  %arena_bytes = load i64, ptr %arena_bytes_p
  %failed_step = call ptr @failure.step(ptr %failure)
  %program = call ptr @failure.program(ptr %failure)
  %slots = alloca i64, i64 %widest, align 64
  %no_arena = icmp eq i64 %arena_bytes, 0
  br i1 %no_arena, label %begin, label %lease
lease:
  %block = call ptr @anychip.lease(ptr %state, i64 %arena_bytes)
  %no_memory = icmp eq ptr %block, null
  br i1 %no_memory, label %exhausted, label %leased
exhausted:
  store i32 -1, ptr %failed_step
  ret i32 {OUT_OF_MEMORY}
leased:
  %arena = getelementptr i8, ptr %block, i64 {CACHE_LINE}
  %arena_base = getelementptr i64, ptr %bases, i64 1
  store ptr %arena, ptr %arena_base
  br label %begin
begin:
  %held = phi ptr [ null, %entry ], [ %block, %leased ]
  br label %next
next:
  %i = phi i64 [ 0, %begin ], [ %i_after, %launch ]
  %first = phi i64 [ 0, %begin ], [ %end, %launch ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %prepare, label %finish
prepare:
  %step_offset = mul i64 %i, {ctypes.sizeof(Step)}
  %step = getelementptr i8, ptr %steps, i64 %step_offset
  %number_p = call ptr @step.slots(ptr %step)
  %number = load i64, ptr %number_p
  %end = add i64 %first, %number
  br label %fill
fill:
  %k = phi i64 [ 0, %prepare ], [ %k_after, %put ]
  %filling = icmp ult i64 %k, %number
  br i1 %filling, label %put, label %launch
put:
  %place = add i64 %first, %k
  %offset_p = getelementptr i64, ptr %offsets, i64 %place
  %offset = load i64, ptr %offset_p
  %owner_p = getelementptr i32, ptr %owners, i64 %place
  %owner = load i32, ptr %owner_p
  %owner_wide = zext i32 %owner to i64
  %base_p = getelementptr i64, ptr %bases, i64 %owner_wide
  %base = load i64, ptr %base_p
  %value = add i64 %offset, %base
  %slot = getelementptr i64, ptr %slots, i64 %k
  store i64 %value, ptr %slot
  %k_after = add i64 %k, 1
  br label %fill
launch:
  %function = call ptr @step.function(ptr %step)
  %gx_p = call ptr @step.grid_x(ptr %step)
  %gx = load i64, ptr %gx_p
  %gy_p = call ptr @step.grid_y(ptr %step)
  %gy = load i64, ptr %gy_p
  %gz_p = call ptr @step.grid_z(ptr %step)
  %gz = load i64, ptr %gz_p
  %code = call i32 @anychip.run({_RUN_ARGUMENTS})
  %i_after = add i64 %i, 1
  %well = icmp eq i32 %code, 0
  br i1 %well, label %next, label %failed
failed:
  %index = trunc i64 %i to i32
  store i32 %index, ptr %failed_step
  br label %finish
finish:
  %result = phi i32 [ 0, %next ], [ %code, %failed ]
  %nothing = icmp eq ptr %held, null
  br i1 %nothing, label %done, label %release
release:
  call void @anychip.release(ptr %state, ptr %held)
  br label %done
done:
  ret i32 %result
}}
"""

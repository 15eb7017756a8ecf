"""LLVM IR that runs a grid whose programs wait for each other.

Such a kernel gives up its thread while it waits, and is continued by another call with the same arena (see
`compiler.codegen.cooperative`). A thread keeps a ring of programs that have begun and are not over. It
continues each of them once, then begins one more, until all have begun: whatever a program waits for, the
program that brings it gets its turn, however few threads the team has. Arenas are taken up again
when their programs are over, so that memory is touched for those only that live at one time.
"""

from __future__ import annotations

import ctypes

from .grid import OUT_OF_MEMORY
from .layout import CACHE_LINE, Job

TOO_MANY_PROGRAMS = -3

MOST_PROGRAMS = 4096
"""Programs that may live at one time: each has an arena of its own."""

PERHAPS, SURELY = 1, 2
"""`compiler.analysis.waiting.Waiting`: programs may wait for others, or do."""

COOPERATIVE = f"""
; What member %member of a team does.
define internal void @anychip.cooperate(ptr %job, i64 %member) {{
entry:
  %entry_p = call ptr @job.entry(ptr %job)
  %kernel = load ptr, ptr %entry_p
  %slots_p = call ptr @job.slots(ptr %job)
  %slots = load ptr, ptr %slots_p
  %total_p = call ptr @job.total(ptr %job)
  %total = load i64, ptr %total_p
  %gx_p = call ptr @job.grid_x(ptr %job)
  %gx = load i32, ptr %gx_p
  %gy_p = call ptr @job.grid_y(ptr %job)
  %gy = load i32, ptr %gy_p
  %gz_p = call ptr @job.grid_z(ptr %job)
  %gz = load i32, ptr %gz_p
  %attention_p = call ptr @job.attention(ptr %job)
  %completed_p = call ptr @job.completed(ptr %job)
  %programs_p = call ptr @job.counters(ptr %job)
  %programs = load ptr, ptr %programs_p
  %places = getelementptr i8, ptr %programs, i64 {CACHE_LINE}
  %arenas_p = call ptr @job.arenas(ptr %job)
  %arenas = load ptr, ptr %arenas_p
  %stride_p = call ptr @job.arena_bytes(ptr %job)
  %stride = load i64, ptr %stride_p
  %count_p = call ptr @job.arena_count(ptr %job)
  %count = load i64, ptr %count_p
  %members_p = call ptr @job.members(ptr %job)
  %members = load i64, ptr %members_p
  %outside = icmp uge i64 %member, %members
  br i1 %outside, label %done, label %round
; %first to %last is the queue of living programs, %living their number, %free the arenas given back, %more
; whether there may be programs that have not begun.
round:
  %first = phi ptr [ null, %entry ], [ %q_first, %round_end ]
  %last = phi ptr [ null, %entry ], [ %q_last, %round_end ]
  %living = phi i64 [ 0, %entry ], [ %q_living, %round_end ]
  %free = phi ptr [ null, %entry ], [ %q_free, %round_end ]
  %more = phi i1 [ true, %entry ], [ %q_more, %round_end ]
  br label %next
next:
  %n_first = phi ptr [ %first, %round ], [ %w_first, %turn_end ]
  %n_last = phi ptr [ %last, %round ], [ %w_last, %turn_end ]
  %n_living = phi i64 [ %living, %round ], [ %w_living, %turn_end ]
  %n_free = phi ptr [ %free, %round ], [ %w_free, %turn_end ]
  %left = phi i64 [ %living, %round ], [ %left_after, %turn_end ]
  %attention = load atomic i32, ptr %attention_p monotonic, align 4
  %marked = icmp ne i32 %attention, 0
  br i1 %marked, label %attend, label %turn
attend:
  %stop = call i32 @anychip.attend(ptr %job)
  %stopped = icmp ne i32 %stop, 0
  br i1 %stopped, label %done, label %turn
turn:
  %over = icmp eq i64 %left, 0
  br i1 %over, label %begin, label %continue
continue:
  %link_p = call ptr @arena.next(ptr %n_first)
  %following = load ptr, ptr %link_p
  %alone = icmp eq ptr %following, null
  %last_without = select i1 %alone, ptr null, ptr %n_last
  br label %run
begin:
  br i1 %more, label %find_arena, label %idle
find_arena:
  %none_free = icmp eq ptr %n_free, null
  br i1 %none_free, label %take_arena, label %reuse
reuse:
  %reuse_p = call ptr @arena.next(ptr %n_free)
  %free_rest = load ptr, ptr %reuse_p
  br label %claim
take_arena:
  %taken = load atomic i64, ptr %places monotonic, align 8
  %all_taken = icmp uge i64 %taken, %count
  br i1 %all_taken, label %no_arena, label %take
take:
  %place = atomicrmw add ptr %places, i64 1 monotonic
  %too_late = icmp uge i64 %place, %count
  br i1 %too_late, label %no_arena, label %fresh
no_arena:
  %begun = load atomic i64, ptr %programs monotonic, align 8
  %some_left = icmp ult i64 %begun, %total
  br label %idle
fresh:
  %place_offset = mul i64 %place, %stride
  %fresh_arena = getelementptr i8, ptr %arenas, i64 %place_offset
  br label %claim
claim:
  %arena_new = phi ptr [ %n_free, %reuse ], [ %fresh_arena, %fresh ]
  %free_after = phi ptr [ %free_rest, %reuse ], [ null, %fresh ]
  %program = atomicrmw add ptr %programs, i64 1 monotonic
  %exists = icmp ult i64 %program, %total
  br i1 %exists, label %start, label %exhausted
exhausted:
  %unused_p = call ptr @arena.next(ptr %arena_new)
  store ptr %free_after, ptr %unused_p
  br label %idle
start:
  call void @anychip.prepare(ptr %job, ptr %arena_new)
  %handle_new = call ptr @arena.handle(ptr %arena_new)
  store ptr null, ptr %handle_new
  br label %run
run:
  %arena = phi ptr [ %n_first, %continue ], [ %arena_new, %start ]
  %number = phi i64 [ 0, %continue ], [ %program, %start ]
  %r_first = phi ptr [ %following, %continue ], [ %n_first, %start ]
  %r_last = phi ptr [ %last_without, %continue ], [ %n_last, %start ]
  %r_free = phi ptr [ %n_free, %continue ], [ %free_after, %start ]
  %is_new = phi i1 [ false, %continue ], [ true, %start ]
  %end = add i64 %number, 1
  call void %kernel(ptr %slots, i64 %number, i64 %end, i32 %gx, i32 %gy, i32 %gz, ptr %arena)
  %status_p = call ptr @arena.status(ptr %arena)
  %status = load i32, ptr %status_p
  %well = icmp eq i32 %status, 0
  br i1 %well, label %look, label %failed
failed:
  call void @anychip.fail(ptr %job, ptr %arena)
  br label %done
look:
  %handle_p = call ptr @arena.handle(ptr %arena)
  %handle = load ptr, ptr %handle_p
  %next_p = call ptr @arena.next(ptr %arena)
  %finished = icmp eq ptr %handle, null
  br i1 %finished, label %give_back, label %queue
give_back:
  store ptr %r_free, ptr %next_p
  %completed = atomicrmw add ptr %completed_p, i64 1 monotonic
  %fewer = sub i64 %n_living, 1
  %living_after = select i1 %is_new, i64 %n_living, i64 %fewer
  br label %turned
queue:
  store ptr null, ptr %next_p
  %queue_empty = icmp eq ptr %r_first, null
  br i1 %queue_empty, label %only, label %behind
behind:
  %tail_p = call ptr @arena.next(ptr %r_last)
  store ptr %arena, ptr %tail_p
  br label %only
only:
  %first_queued = select i1 %queue_empty, ptr %arena, ptr %r_first
  %one_more = add i64 %n_living, 1
  %living_queued = select i1 %is_new, i64 %one_more, i64 %n_living
  br label %turned
turned:
  %w_first = phi ptr [ %r_first, %give_back ], [ %first_queued, %only ]
  %w_last = phi ptr [ %r_last, %give_back ], [ %arena, %only ]
  %w_living = phi i64 [ %living_after, %give_back ], [ %living_queued, %only ]
  %w_free = phi ptr [ %arena, %give_back ], [ %r_free, %only ]
  br i1 %is_new, label %round_end, label %turn_end
turn_end:
  %left_after = sub i64 %left, 1
  br label %next
idle:
  %i_free = phi ptr [ %n_free, %begin ], [ null, %no_arena ], [ %arena_new, %exhausted ]
  %i_more = phi i1 [ false, %begin ], [ %some_left, %no_arena ], [ false, %exhausted ]
  %nothing_left = icmp eq i64 %n_living, 0
  %no_more = xor i1 %i_more, true
  %all_over = and i1 %nothing_left, %no_more
  br i1 %all_over, label %done, label %yield
yield:
  %yielded = call i32 @sched_yield()
  br label %round_end
round_end:
  %q_first = phi ptr [ %w_first, %turned ], [ %n_first, %yield ]
  %q_last = phi ptr [ %w_last, %turned ], [ %n_last, %yield ]
  %q_living = phi i64 [ %w_living, %turned ], [ %n_living, %yield ]
  %q_free = phi ptr [ %w_free, %turned ], [ %i_free, %yield ]
  %q_more = phi i1 [ true, %turned ], [ %i_more, %yield ]
  br label %round
done:
  call void @anychip.linger(ptr %job, i64 %member)
  ret void
}}

; Runs a grid of a kernel whose programs wait for each other; like `anychip.run`. With TOO_MANY_PROGRAMS,
; %program holds the grid.
define internal i32 @anychip.run_cooperative(
    ptr %state, ptr %function, ptr %slots, i64 %total, i64 %gx, i64 %gy, i64 %gz, ptr %program) {{
entry:
  %job = alloca [ {ctypes.sizeof(Job)} x i8 ], align 64
  %waiting_p = call ptr @function.waiting(ptr %function)
  %waiting = load i64, ptr %waiting_p
  %surely = icmp eq i64 %waiting, {SURELY}
  %many = icmp ugt i64 %total, {MOST_PROGRAMS}
  %refused = and i1 %surely, %many
  br i1 %refused, label %refuse, label %plan
refuse:
  %p_y = getelementptr i32, ptr %program, i64 1
  %p_z = getelementptr i32, ptr %program, i64 2
  %x = trunc i64 %gx to i32
  %y = trunc i64 %gy to i32
  %z = trunc i64 %gz to i32
  store i32 %x, ptr %program
  store i32 %y, ptr %p_y
  store i32 %z, ptr %p_z
  ret i32 {TOO_MANY_PROGRAMS}
plan:
  %count = call i64 @llvm.umin.i64(i64 %total, i64 {MOST_PROGRAMS})
  %stride_p = call ptr @function.arena_bytes(ptr %function)
  %stride = load i64, ptr %stride_p
  %arena_bytes = mul i64 %stride, %count
  %bytes = add i64 %arena_bytes, {2 * CACHE_LINE}
  %memory = call ptr @aligned_alloc(i64 {CACHE_LINE}, i64 %bytes)
  %no_memory = icmp eq ptr %memory, null
  br i1 %no_memory, label %exhausted, label %fill
exhausted:
  ret i32 {OUT_OF_MEMORY}
fill:
  store i64 0, ptr %memory
  %places = getelementptr i8, ptr %memory, i64 {CACHE_LINE}
  store i64 0, ptr %places
  %arenas = getelementptr i8, ptr %memory, i64 {2 * CACHE_LINE}
  call void @anychip.describe(ptr %job, ptr %function, ptr %slots, i64 %total, i64 %gx, i64 %gy, i64 %gz)
  %j_counters = call ptr @job.counters(ptr %job)
  store ptr %memory, ptr %j_counters
  %j_arenas = call ptr @job.arenas(ptr %job)
  store ptr %arenas, ptr %j_arenas
  %j_count = call ptr @job.arena_count(ptr %job)
  store i64 %count, ptr %j_count
  %members = call i64 @anychip.team_size(ptr %state, i64 %total, i64 0, i64 0)
  %j_work = call ptr @job.work(ptr %job)
  store ptr @anychip.cooperate, ptr %j_work
  %before = call ptr @anychip.enter(ptr %state, ptr %job, i1 true)
  call void @anychip.dispatch(ptr %state, ptr %job, i64 %members)
  call void @anychip.leave(ptr %state, ptr %job, ptr %before)
  %f_slots = call ptr @function.slots(ptr %function)
  store ptr null, ptr %f_slots
  call void @free(ptr %memory)
  %code = call i32 @anychip.outcome(ptr %state, ptr %job, ptr %program)
  ret i32 %code
}}
"""

"""LLVM IR that runs a grid of program instances over threads.

`anychip.run` leases scratch memory, decides how many threads are worth waking, lets them work
through the grid and reports a failed device assertion. Each thread starts with a contiguous part
of its own (neighbouring kernels find their data in the same core's cache) and then takes chunks
from the others' parts, so that uneven programs balance. Counters are 64 bits wide.
"""

from __future__ import annotations

import ctypes

from .layout import CACHE_LINE, Job

OUT_OF_MEMORY = -1
GRID_TOO_LARGE = -2

SERIAL_PICOSECONDS = 6_000_000
"""Launches expected to take less run on the calling thread: waking a team costs 1 to 2 us."""

SHARE_PICOSECONDS = 3_000_000
"""A thread joins for at least this much work."""

CHUNKS_PER_MEMBER = 8
"""Pieces that a thread's part is divided in, for others to take."""

WATCHED_PICOSECONDS = 20_000_000
"""Launches expected to take longer are ended by Ctrl-C (see `interrupt`)."""

LONG_PICOSECONDS = 1_000_000_000
"""For launches expected to take longer, it is made sure that signals are heard, and there are pieces."""

PIECE_PICOSECONDS = 10_000_000_000
FIRST_PIECES = 64
"""No piece is expected to take longer; where nothing is known, a thread's part has so many."""

MOST_IN_A_PIECE = 1024
"""Programs, whatever time was expected: expectations come from earlier launches, perhaps of smaller sizes."""

MOST_PIECES = 65536
"""Of a thread's part: what a piece costs must not count beside its programs."""

_BLOCK_ROUNDING = 4096

GRID = f"""
%timespec = type {{ i64, i64 }}
declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_yield()
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)

define internal i64 @anychip.now() {{
  %t = alloca %timespec
  %rc = call i32 @clock_gettime(i32 1, ptr %t)
  %s = load i64, ptr %t
  %np = getelementptr i8, ptr %t, i64 8
  %n = load i64, ptr %np
  %sn = mul i64 %s, 1000000000
  %r = add i64 %sn, %n
  ret i64 %r
}}

define internal void @anychip.lock(ptr %lock) {{
  br label %try
try:
  %old = atomicrmw xchg ptr %lock, i64 1 acquire
  %free = icmp eq i64 %old, 0
  br i1 %free, label %done, label %wait
wait:
  %rc = call i32 @sched_yield()
  br label %try
done:
  ret void
}}

define internal void @anychip.unlock(ptr %lock) {{
  store atomic i64 0, ptr %lock release, align 8
  ret void
}}

; A block of at least %bytes of scratch memory, or null. A free block that is too small is
; replaced by the larger one, so there are never more blocks than launches at one time.
define ptr @anychip.lease(ptr %state, i64 %bytes) {{
entry:
  %lock = call ptr @state.lock(ptr %state)
  %head = call ptr @state.free_blocks(ptr %state)
  call void @anychip.lock(ptr %lock)
  br label %search
search:
  %link = phi ptr [ %head, %entry ], [ %next_link, %larger ]
  %block = load ptr, ptr %link
  %none = icmp eq ptr %block, null
  br i1 %none, label %missing, label %check
check:
  %size_p = call ptr @block.bytes(ptr %block)
  %size = load i64, ptr %size_p
  %fits = icmp sge i64 %size, %bytes
  br i1 %fits, label %take, label %larger
larger:
  %next_link = call ptr @block.next(ptr %block)
  br label %search
take:
  %next_p = call ptr @block.next(ptr %block)
  %next = load ptr, ptr %next_p
  store ptr %next, ptr %link
  call void @anychip.unlock(ptr %lock)
  ret ptr %block
missing:
  %small = load ptr, ptr %head
  %empty = icmp eq ptr %small, null
  br i1 %empty, label %allocate, label %replace
replace:
  %second_p = call ptr @block.next(ptr %small)
  %second = load ptr, ptr %second_p
  store ptr %second, ptr %head
  %old_p = call ptr @block.bytes(ptr %small)
  %old = load i64, ptr %old_p
  br label %allocate
allocate:
  %freed = phi i64 [ 0, %missing ], [ %old, %replace ]
  %padded = add i64 %bytes, {_BLOCK_ROUNDING - 1}
  %rounded = and i64 %padded, -{_BLOCK_ROUNDING}
  %change = sub i64 %rounded, %freed
  %now_p = call ptr @state.arena_bytes(ptr %state)
  %now = load i64, ptr %now_p
  %sum = add i64 %now, %change
  store i64 %sum, ptr %now_p
  %peak_p = call ptr @state.arena_bytes_peak(ptr %state)
  %peak = load i64, ptr %peak_p
  %higher = call i64 @llvm.smax.i64(i64 %peak, i64 %sum)
  store i64 %higher, ptr %peak_p
  call void @anychip.unlock(ptr %lock)
  call void @free(ptr %small)
  %full = add i64 %rounded, {CACHE_LINE}
  %fresh = call ptr @aligned_alloc(i64 {CACHE_LINE}, i64 %full)
  %failed = icmp eq ptr %fresh, null
  br i1 %failed, label %refused, label %ready
refused:
  call void @anychip.lock(ptr %lock)
  %more = load i64, ptr %now_p
  %less = sub i64 %more, %rounded
  store i64 %less, ptr %now_p
  call void @anychip.unlock(ptr %lock)
  ret ptr null
ready:
  %bytes_p = call ptr @block.bytes(ptr %fresh)
  store i64 %rounded, ptr %bytes_p
  ret ptr %fresh
}}

define void @anychip.release(ptr %state, ptr %block) {{
  %lock = call ptr @state.lock(ptr %state)
  %head = call ptr @state.free_blocks(ptr %state)
  %next_p = call ptr @block.next(ptr %block)
  call void @anychip.lock(ptr %lock)
  %first = load ptr, ptr %head
  store ptr %first, ptr %next_p
  store ptr %block, ptr %head
  call void @anychip.unlock(ptr %lock)
  ret void
}}

; Frees every block that no launch holds.
define void @anychip.trim(ptr %state) {{
  %lock = call ptr @state.lock(ptr %state)
  %head = call ptr @state.free_blocks(ptr %state)
  %now_p = call ptr @state.arena_bytes(ptr %state)
  call void @anychip.lock(ptr %lock)
  br label %loop
loop:
  %block = load ptr, ptr %head
  %none = icmp eq ptr %block, null
  br i1 %none, label %done, label %drop
drop:
  %next_p = call ptr @block.next(ptr %block)
  %next = load ptr, ptr %next_p
  store ptr %next, ptr %head
  %size_p = call ptr @block.bytes(ptr %block)
  %size = load i64, ptr %size_p
  %now = load i64, ptr %now_p
  %less = sub i64 %now, %size
  store i64 %less, ptr %now_p
  call void @free(ptr %block)
  br label %loop
done:
  call void @anychip.unlock(ptr %lock)
  ret void
}}

; First program of part %part when %total programs are divided into %parts.
define internal i64 @anychip.part(i64 %total, i64 %parts, i64 %part) alwaysinline {{
  %quotient = udiv i64 %total, %parts
  %remainder = urem i64 %total, %parts
  %base = mul i64 %quotient, %part
  %extra = call i64 @llvm.umin.i64(i64 %part, i64 %remainder)
  %first = add i64 %base, %extra
  ret i64 %first
}}

; The program in %arena failed: unless another was first, that is how the launch ends.
define internal void @anychip.fail(ptr %job, ptr %arena) {{
  %failure_p = call ptr @job.failure(ptr %job)
  %status_p = call ptr @arena.status(ptr %arena)
  %status = load i32, ptr %status_p
  %exchange = cmpxchg ptr %failure_p, i32 0, i32 %status monotonic monotonic
  %won = extractvalue {{ i32, i1 }} %exchange, 1
  br i1 %won, label %report, label %done
report:
  %program_p = call ptr @arena.program(ptr %arena)
  %program = load [ 3 x i32 ], ptr %program_p, align 4
  %reported = call ptr @job.program_x(ptr %job)
  store [ 3 x i32 ] %program, ptr %reported, align 4
  %detail_p = call ptr @arena.detail(ptr %arena)
  %detail = load i64, ptr %detail_p
  %j_detail = call ptr @job.detail(ptr %job)
  store i64 %detail, ptr %j_detail
  br label %done
done:
  %attention_p = call ptr @job.attention(ptr %job)
  store atomic i32 1, ptr %attention_p monotonic, align 4
  ret void
}}

; What member %member of a job's team does.
define internal void @anychip.work(ptr %job, i64 %member) {{
entry:
  %entry_p = call ptr @job.entry(ptr %job)
  %kernel = load ptr, ptr %entry_p
  %slots_p = call ptr @job.slots(ptr %job)
  %slots = load ptr, ptr %slots_p
  %total_p = call ptr @job.total(ptr %job)
  %total = load i64, ptr %total_p
  %chunk_p = call ptr @job.chunk(ptr %job)
  %chunk = load i64, ptr %chunk_p
  %members_p = call ptr @job.members(ptr %job)
  %members = load i64, ptr %members_p
  %gx_p = call ptr @job.grid_x(ptr %job)
  %gx = load i32, ptr %gx_p
  %gy_p = call ptr @job.grid_y(ptr %job)
  %gy = load i32, ptr %gy_p
  %gz_p = call ptr @job.grid_z(ptr %job)
  %gz = load i32, ptr %gz_p
  %attention_p = call ptr @job.attention(ptr %job)
  %endless_p = call ptr @job.endless(ptr %job)
  %endless = load i64, ptr %endless_p
  %counted = icmp ne i64 %endless, 0
  %counters_p = call ptr @job.counters(ptr %job)
  %counters = load ptr, ptr %counters_p
  %arenas_p = call ptr @job.arenas(ptr %job)
  %arenas = load ptr, ptr %arenas_p
  %stride_p = call ptr @job.arena_bytes(ptr %job)
  %stride = load i64, ptr %stride_p
  %outside = icmp uge i64 %member, %members
  br i1 %outside, label %done, label %begin
begin:
  %start = call i64 @anychip.now()
  %offset = mul i64 %member, %stride
  %arena = getelementptr i8, ptr %arenas, i64 %offset
  call void @anychip.prepare(ptr %job, ptr %arena)
  br label %parts
parts:
  %visited = phi i64 [ 0, %begin ], [ %visited_next, %next_part ]
  %all = icmp uge i64 %visited, %members
  br i1 %all, label %finish, label %choose
choose:
  %shifted = add i64 %member, %visited
  %part = urem i64 %shifted, %members
  %after = add i64 %part, 1
  %end = call i64 @anychip.part(i64 %total, i64 %members, i64 %after)
  %counter_offset = mul i64 %part, {CACHE_LINE}
  %counter = getelementptr i8, ptr %counters, i64 %counter_offset
  br label %take
take:
  %attention = load atomic i32, ptr %attention_p monotonic, align 4
  %marked = icmp ne i32 %attention, 0
  br i1 %marked, label %attend, label %claim
attend:
  %stop = call i32 @anychip.attend(ptr %job)
  %stopped = icmp ne i32 %stop, 0
  br i1 %stopped, label %finish, label %claim
claim:
  %first = atomicrmw add ptr %counter, i64 %chunk monotonic
  %left = icmp ult i64 %first, %end
  br i1 %left, label %run, label %next_part
run:
  %beyond = add i64 %first, %chunk
  %last = call i64 @llvm.umin.i64(i64 %beyond, i64 %end)
  call void %kernel(ptr %slots, i64 %first, i64 %last, i32 %gx, i32 %gy, i32 %gz, ptr %arena)
  %status = load i32, ptr %arena
  %well = icmp eq i32 %status, 0
  br i1 %well, label %ran, label %failed
ran:
  br i1 %counted, label %count, label %take
count:
  %run_programs = sub i64 %last, %first
  %completed_p = call ptr @job.completed(ptr %job)
  %completed = atomicrmw add ptr %completed_p, i64 %run_programs monotonic
  br label %take
failed:
  call void @anychip.fail(ptr %job, ptr %arena)
  br label %finish
next_part:
  %visited_next = add i64 %visited, 1
  br label %parts
finish:
  %now = call i64 @anychip.now()
  %spent = sub i64 %now, %start
  %nanoseconds = call ptr @job.nanoseconds(ptr %job)
  %sum = atomicrmw add ptr %nanoseconds, i64 %spent monotonic
  call void @anychip.linger(ptr %job, i64 %member)
  br label %done
done:
  ret void
}}

; What OpenMP calls on each thread of the team.
define internal void @anychip.member(ptr %job) {{
  %number_p = call ptr @job.member_of_team(ptr %job)
  %number = load ptr, ptr %number_p
  %m = call i32 %number()
  %member = zext i32 %m to i64
  call void @anychip.take_part(ptr %job, i64 %member)
  ret void
}}

; What a thread of any kind of team does.
define internal void @anychip.take_part(ptr %job, i64 %member) {{
  %work_p = call ptr @job.work(ptr %job)
  %work = load ptr, ptr %work_p
  call void %work(ptr %job, i64 %member)
  ret void
}}

; Writes what all kinds of launches say of themselves; %job's members, memory and work are left to do.
define internal void @anychip.describe(
    ptr %job, ptr %function, ptr %slots, i64 %total, i64 %gx, i64 %gy, i64 %gz) alwaysinline {{
  %entry_p = call ptr @function.entry(ptr %function)
  %kernel = load ptr, ptr %entry_p
  %j_entry = call ptr @job.entry(ptr %job)
  store ptr %kernel, ptr %j_entry
  %j_slots = call ptr @job.slots(ptr %job)
  store ptr %slots, ptr %j_slots
  %f_slots = call ptr @function.slots(ptr %function)
  store ptr %slots, ptr %f_slots
  %j_total = call ptr @job.total(ptr %job)
  store i64 %total, ptr %j_total
  %gx32 = trunc i64 %gx to i32
  %j_gx = call ptr @job.grid_x(ptr %job)
  store i32 %gx32, ptr %j_gx
  %gy32 = trunc i64 %gy to i32
  %j_gy = call ptr @job.grid_y(ptr %job)
  store i32 %gy32, ptr %j_gy
  %gz32 = trunc i64 %gz to i32
  %j_gz = call ptr @job.grid_z(ptr %job)
  store i32 %gz32, ptr %j_gz
  %stride_p = call ptr @function.arena_bytes(ptr %function)
  %stride = load i64, ptr %stride_p
  %j_stride = call ptr @job.arena_bytes(ptr %job)
  store i64 %stride, ptr %j_stride
  %j_failure = call ptr @job.failure(ptr %job)
  store i32 0, ptr %j_failure
  %j_nanoseconds = call ptr @job.nanoseconds(ptr %job)
  store i64 0, ptr %j_nanoseconds
  %j_attention = call ptr @job.attention(ptr %job)
  store i32 0, ptr %j_attention
  %j_completed = call ptr @job.completed(ptr %job)
  store i64 0, ptr %j_completed
  %endless_p = call ptr @function.endless(ptr %function)
  %endless = load i64, ptr %endless_p
  %j_endless = call ptr @job.endless(ptr %job)
  store i64 %endless, ptr %j_endless
  %launches = call ptr @function.launches(ptr %function)
  %before = atomicrmw add ptr %launches, i64 1 monotonic
  ret void
}}

; Has %members threads do the job's work, the calling one among them, and waits for them.
define internal void @anychip.dispatch(ptr %state, ptr %job, i64 %members) {{
entry:
  %j_members = call ptr @job.members(ptr %job)
  store i64 %members, ptr %j_members
  %alone = icmp eq i64 %members, 1
  br i1 %alone, label %here, label %spread
here:
  call void @anychip.take_part(ptr %job, i64 0)
  ret void
spread:
  %team_p = call ptr @state.run_team(ptr %state)
  %team = load ptr, ptr %team_p
  %own = icmp eq ptr %team, null
  br i1 %own, label %pool, label %openmp
openmp:
  %number_p = call ptr @state.team_member(ptr %state)
  %number = load ptr, ptr %number_p
  %j_number = call ptr @job.member_of_team(ptr %job)
  store ptr %number, ptr %j_number
  %members32 = trunc i64 %members to i32
  call void %team(ptr @anychip.member, ptr %job, i32 %members32, i32 0)
  ret void
pool:
  call void @anychip.run_pool(ptr %state, ptr %job, i64 %members)
  ret void
}}

; What a job came to: 0, or the code of its failure with the program's id in %program.
define internal i32 @anychip.outcome(ptr %state, ptr %job, ptr %program) alwaysinline {{
  %j_failure = call ptr @job.failure(ptr %job)
  %failure = load i32, ptr %j_failure
  %well = icmp eq i32 %failure, 0
  br i1 %well, label %done, label %failed
failed:
  %f_program = call ptr @job.program_x(ptr %job)
  %id = load [ 3 x i32 ], ptr %f_program, align 4
  store [ 3 x i32 ] %id, ptr %program, align 4
  %j_detail = call ptr @job.detail(ptr %job)
  %detail = load i64, ptr %j_detail
  %s_detail = call ptr @state.detail(ptr %state)
  store i64 %detail, ptr %s_detail
  br label %done
done:
  ret i32 %failure
}}

; How many threads are worth waking for %total programs of %each picoseconds (0: unknown), of which a
; thread takes %grain at least (0: one).
define internal i64 @anychip.team_size(ptr %state, i64 %total, i64 %each, i64 %grain) {{
  %least = call i64 @llvm.umax.i64(i64 %grain, i64 1)
  %grains = udiv i64 %total, %least
  %several = icmp ugt i64 %grains, 1
  br i1 %several, label %estimate, label %serial
estimate:
  %product = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %total, i64 %each)
  %work = extractvalue {{ i64, i1 }} %product, 0
  %huge = extractvalue {{ i64, i1 }} %product, 1
  %unknown = icmp eq i64 %each, 0
  %unbounded = or i1 %huge, %unknown
  %long = icmp ugt i64 %work, {SERIAL_PICOSECONDS}
  %worth = or i1 %unbounded, %long
  br i1 %worth, label %ask, label %serial
ask:
  %limit_p = call ptr @state.thread_limit(ptr %state)
  %limit = load i64, ptr %limit_p
  %count_p = call ptr @state.thread_count(ptr %state)
  %count_function = load ptr, ptr %count_p
  %counted = icmp ne ptr %count_function, null
  br i1 %counted, label %count, label %nested
count:
  %c = call i32 %count_function()
  %c64 = sext i32 %c to i64
  br label %nested
nested:
  %threads = phi i64 [ %limit, %ask ], [ %c64, %count ]
  %in_p = call ptr @state.in_team(ptr %state)
  %in_function = load ptr, ptr %in_p
  %can_tell = icmp ne ptr %in_function, null
  br i1 %can_tell, label %inside, label %bound
inside:
  %in = call i32 %in_function()
  %is_inside = icmp ne i32 %in, 0
  br i1 %is_inside, label %serial, label %bound
bound:
  %shares = udiv i64 %work, {SHARE_PICOSECONDS}
  %useful = select i1 %unbounded, i64 %threads, i64 %shares
  %a = call i64 @llvm.smin.i64(i64 %threads, i64 %useful)
  %b = call i64 @llvm.umin.i64(i64 %a, i64 %grains)
  %c1 = call i64 @llvm.smax.i64(i64 %b, i64 1)
  ret i64 %c1
serial:
  ret i64 1
}}

; Runs function %function over a grid. Returns 0, the number of a failed assertion plus one with
; the program's id in %program (3 x i32), or one of the negative codes.
define i32 @anychip.run(ptr %state, ptr %function, ptr %slots, i64 %gx, i64 %gy, i64 %gz, ptr %program) {{
entry:
  %job = alloca [ {ctypes.sizeof(Job)} x i8 ], align 64
  %x_empty = icmp slt i64 %gx, 1
  %y_empty = icmp slt i64 %gy, 1
  %z_empty = icmp slt i64 %gz, 1
  %xy_empty = or i1 %x_empty, %y_empty
  %empty = or i1 %xy_empty, %z_empty
  br i1 %empty, label %nothing, label %measure
nothing:
  ret i32 0
measure:
  %xy = mul i64 %gx, %gy
  %xyz = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %xy, i64 %gz)
  %total = extractvalue {{ i64, i1 }} %xyz, 0
  %overflow = extractvalue {{ i64, i1 }} %xyz, 1
  %negative = icmp slt i64 %total, 0
  %too_large = or i1 %overflow, %negative
  br i1 %too_large, label %refuse, label %plan
refuse:
  ret i32 {GRID_TOO_LARGE}
plan:
  %waiting_p = call ptr @function.waiting(ptr %function)
  %waiting = load i64, ptr %waiting_p
  %waits = icmp ne i64 %waiting, 0
  br i1 %waits, label %cooperative, label %independent
cooperative:
  %waited = call i32 @anychip.run_cooperative(
    ptr %state, ptr %function, ptr %slots, i64 %total, i64 %gx, i64 %gy, i64 %gz, ptr %program)
  ret i32 %waited
independent:
  %each_p = call ptr @function.picoseconds(ptr %function)
  %each = load atomic i64, ptr %each_p monotonic, align 8
  %grain_p = call ptr @function.grain(ptr %function)
  %grain = load i64, ptr %grain_p
  %members = call i64 @anychip.team_size(ptr %state, i64 %total, i64 %each, i64 %grain)
  %stride_p = call ptr @function.arena_bytes(ptr %function)
  %stride = load i64, ptr %stride_p
  %per_member = add i64 %stride, {CACHE_LINE}
  %bytes = mul i64 %per_member, %members
  %block = call ptr @anychip.lease(ptr %state, i64 %bytes)
  %no_memory = icmp eq ptr %block, null
  br i1 %no_memory, label %exhausted, label %fill
exhausted:
  ret i32 {OUT_OF_MEMORY}
fill:
  %memory = getelementptr i8, ptr %block, i64 {CACHE_LINE}
  %counter_bytes = mul i64 %members, {CACHE_LINE}
  %arenas = getelementptr i8, ptr %memory, i64 %counter_bytes
  call void @anychip.describe(ptr %job, ptr %function, ptr %slots, i64 %total, i64 %gx, i64 %gy, i64 %gz)
  %j_counters = call ptr @job.counters(ptr %job)
  store ptr %memory, ptr %j_counters
  %j_arenas = call ptr @job.arenas(ptr %job)
  store ptr %arenas, ptr %j_arenas
  %j_nanoseconds = call ptr @job.nanoseconds(ptr %job)
  %product = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %total, i64 %each)
  %picoseconds = extractvalue {{ i64, i1 }} %product, 0
  %huge = extractvalue {{ i64, i1 }} %product, 1
  %unknown = icmp eq i64 %each, 0
  %endless_p = call ptr @function.endless(ptr %function)
  %endless = load i64, ptr %endless_p
  %may_not_end = icmp ne i64 %endless, 0
  %unbounded = or i1 %huge, %unknown
  %is_long = icmp ugt i64 %picoseconds, {LONG_PICOSECONDS}
  %long = or i1 %unbounded, %is_long
  %is_watched = icmp ugt i64 %picoseconds, {WATCHED_PICOSECONDS}
  %watched_1 = or i1 %unbounded, %is_watched
  %watched = or i1 %watched_1, %may_not_end
  %heard = or i1 %long, %may_not_end
  %alone = icmp eq i64 %members, 1
  br i1 %watched, label %enter, label %choose
enter:
  %outer = call ptr @anychip.enter(ptr %state, ptr %job, i1 %heard)
  br label %choose
choose:
  %before = phi ptr [ null, %fill ], [ %outer, %enter ]
  %few = icmp ule i64 %total, {MOST_IN_A_PIECE}
  %some_pieces = xor i1 %few, true
  %misjudged = and i1 %some_pieces, %watched
  %pieces_wanted = or i1 %long, %misjudged
  %pieceless = xor i1 %pieces_wanted, true
  %at_once = and i1 %alone, %pieceless
  br i1 %at_once, label %serial, label %divide
serial:
  call void @anychip.prepare(ptr %job, ptr %arenas)
  %entry_p = call ptr @function.entry(ptr %function)
  %kernel = load ptr, ptr %entry_p
  %gx32 = trunc i64 %gx to i32
  %gy32 = trunc i64 %gy to i32
  %gz32 = trunc i64 %gz to i32
  %start = call i64 @anychip.now()
  call void %kernel(ptr %slots, i64 0, i64 %total, i32 %gx32, i32 %gy32, i32 %gz32, ptr %arenas)
  %stop = call i64 @anychip.now()
  %alone_time = sub i64 %stop, %start
  store i64 %alone_time, ptr %j_nanoseconds
  %status = load i32, ptr %arenas
  %s_well = icmp eq i32 %status, 0
  br i1 %s_well, label %finish, label %s_failed
s_failed:
  call void @anychip.fail(ptr %job, ptr %arenas)
  br label %finish
divide:
  %part_size = udiv i64 %total, %members
  %pieces = udiv i64 %part_size, {CHUNKS_PER_MEMBER}
  %ruled = call i64 @llvm.smax.i64(i64 %pieces, i64 1)
  %chosen = icmp ne i64 %grain, 0
  %chunk_1 = select i1 %chosen, i64 %grain, i64 %ruled
  %divisor = call i64 @llvm.umax.i64(i64 %each, i64 1)
  %affordable = udiv i64 {PIECE_PICOSECONDS}, %divisor
  %fraction = udiv i64 %part_size, {FIRST_PIECES}
  %bound_1 = select i1 %unknown, i64 %fraction, i64 %affordable
  %share = udiv i64 %part_size, {MOST_PIECES}
  %most = call i64 @llvm.umax.i64(i64 %share, i64 {MOST_IN_A_PIECE})
  %bound_2 = call i64 @llvm.umin.i64(i64 %bound_1, i64 %most)
  %bound = call i64 @llvm.umax.i64(i64 %bound_2, i64 1)
  %chunk = call i64 @llvm.umin.i64(i64 %chunk_1, i64 %bound)
  %j_chunk = call ptr @job.chunk(ptr %job)
  store i64 %chunk, ptr %j_chunk
  %j_work = call ptr @job.work(ptr %job)
  store ptr @anychip.work, ptr %j_work
  br label %mark
mark:
  %m = phi i64 [ 0, %divide ], [ %m_next, %mark ]
  %part_first = call i64 @anychip.part(i64 %total, i64 %members, i64 %m)
  %mark_offset = mul i64 %m, {CACHE_LINE}
  %mark_p = getelementptr i8, ptr %memory, i64 %mark_offset
  store i64 %part_first, ptr %mark_p
  %m_next = add i64 %m, 1
  %marked = icmp eq i64 %m_next, %members
  br i1 %marked, label %spread, label %mark
spread:
  call void @anychip.dispatch(ptr %state, ptr %job, i64 %members)
  br label %finish
finish:
  br i1 %watched, label %leave, label %give_back
leave:
  call void @anychip.leave(ptr %state, ptr %job, ptr %before)
  br label %give_back
give_back:
  %f_slots = call ptr @function.slots(ptr %function)
  store ptr null, ptr %f_slots
  call void @anychip.release(ptr %state, ptr %block)
  %code = call i32 @anychip.outcome(ptr %state, ptr %job, ptr %program)
  %succeeded = icmp eq i32 %code, 0
  br i1 %succeeded, label %learn, label %end
learn:
  %thread_time = load i64, ptr %j_nanoseconds
  %thread_picoseconds = mul i64 %thread_time, 1000
  %measured = udiv i64 %thread_picoseconds, %total
  %known = icmp eq i64 %each, 0
  %old = select i1 %known, i64 %measured, i64 %each
  %both = add i64 %old, %measured
  %mean = lshr i64 %both, 1
  %estimate = call i64 @llvm.smax.i64(i64 %mean, i64 1)
  store atomic i64 %estimate, ptr %each_p monotonic, align 8
  br label %end
end:
  ret i32 %code
}}
"""

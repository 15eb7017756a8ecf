"""LLVM IR by which Ctrl-C ends a launch.

Python runs signal handlers only in its main thread and between bytecodes, hence not while that thread is in
a kernel. A handler of ours stands before Python's: it calls that, and marks the job that the main thread
runs. Whoever sees the mark (threads between programs, kernels at the end of an iteration of a `while` loop)
calls `anychip.attend`, in which the main thread has Python run its handlers. What they raise is kept, the
job ends, and the launch raises it; where they raise nothing, the launch goes on. Launches of other threads
are not interrupted, as nothing is in Python.
"""

from __future__ import annotations

import sys

INTERRUPTED = -4

SIGINT = 2

MEMBER_SPINS = 20_000
MEMBER_WAIT_MICROSECONDS = 50
"""The calling thread looks so often whether the others are done, then sleeps between looks."""

_LAYOUTS = {"linux": (160, 136, 0x4), "darwin": (16, 12, 0x40)}
"""Of the C library's `struct sigaction`: bytes, place of its flags, the flag SA_SIGINFO."""

_BYTES, _FLAGS, _SIGINFO = _LAYOUTS.get(sys.platform, _LAYOUTS["linux"])

INTERRUPT = f"""
declare i64 @pthread_self()
declare i32 @pthread_kill(i64, i32)
declare i32 @sigaction(i32, ptr, ptr)
declare i32 @usleep(i32)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

@anychip.state = internal global ptr null

; The handler of SIGINT. It runs on the main thread, so that the job it marks is not over meanwhile. A
; handler that was put before ours may call ours in turn: the first one that we met ends the circle.
define void @anychip.on_signal(i32 %signal, ptr %info, ptr %context) {{
entry:
  %state = load ptr, ptr @anychip.state
  %main_p = call ptr @state.main_thread(ptr %state)
  %main = load i64, ptr %main_p
  %self = call i64 @pthread_self()
  %is_main = icmp eq i64 %self, %main
  br i1 %is_main, label %mark, label %forward
forward:
  %sent = call i32 @pthread_kill(i64 %main, i32 %signal)
  ret void
mark:
  %current_p = call ptr @state.current(ptr %state)
  %job = load volatile ptr, ptr %current_p
  %idle = icmp eq ptr %job, null
  br i1 %idle, label %chain, label %set
set:
  %attention_p = call ptr @job.attention(ptr %job)
  store atomic i32 1, ptr %attention_p monotonic, align 4
  br label %chain
chain:
  %inside_p = call ptr @state.inside_handler(ptr %state)
  %inside = load volatile i64, ptr %inside_p
  %again = icmp ne i64 %inside, 0
  %previous_p = call ptr @state.previous_handler(ptr %state)
  %first_p = call ptr @state.first_handler(ptr %state)
  %chosen_p = select i1 %again, ptr %first_p, ptr %previous_p
  %handler = load ptr, ptr %chosen_p
  store volatile i64 1, ptr %inside_p
  call void %handler(i32 %signal, ptr %info, ptr %context)
  store volatile i64 %inside, ptr %inside_p
  ret void
}}

; Puts our handler before the one that there is now. Signals that are ignored, or end the process, stay so.
define internal void @anychip.guard(ptr %state) {{
entry:
  %action = alloca [ {_BYTES} x i8 ], align 8
  %asked = call i32 @sigaction(i32 {SIGINT}, ptr null, ptr %action)
  %handler = load ptr, ptr %action
  %is_ours = icmp eq ptr %handler, @anychip.on_signal
  %number = ptrtoint ptr %handler to i64
  %is_none = icmp ult i64 %number, 2
  %leave = or i1 %is_ours, %is_none
  br i1 %leave, label %done, label %install
install:
  store ptr %state, ptr @anychip.state
  %previous_p = call ptr @state.previous_handler(ptr %state)
  store ptr %handler, ptr %previous_p
  %first_p = call ptr @state.first_handler(ptr %state)
  %first = load ptr, ptr %first_p
  %has_first = icmp ne ptr %first, null
  %kept = select i1 %has_first, ptr %first, ptr %handler
  store ptr %kept, ptr %first_p
  store ptr @anychip.on_signal, ptr %action
  %flags_p = getelementptr i8, ptr %action, i64 {_FLAGS}
  %flags = load i32, ptr %flags_p
  %with_info = or i32 %flags, {_SIGINFO}
  store i32 %with_info, ptr %flags_p
  %put = call i32 @sigaction(i32 {SIGINT}, ptr %action, ptr null)
  br label %done
done:
  ret void
}}

; Before a launch that may take long: if the main thread makes it, signals find %job. Gives the job that
; was there before, for `anychip.leave`.
define internal ptr @anychip.enter(ptr %state, ptr %job, i1 %install) {{
entry:
  %j_state = call ptr @job.state(ptr %job)
  store ptr %state, ptr %j_state
  %main_p = call ptr @state.main_thread(ptr %state)
  %main = load i64, ptr %main_p
  %self = call i64 @pthread_self()
  %is_main = icmp eq i64 %self, %main
  br i1 %is_main, label %watch, label %done
watch:
  %current_p = call ptr @state.current(ptr %state)
  %before = load volatile ptr, ptr %current_p
  store volatile ptr %job, ptr %current_p
  br i1 %install, label %guard, label %done
guard:
  call void @anychip.guard(ptr %state)
  br label %done
done:
  %result = phi ptr [ null, %entry ], [ %before, %watch ], [ %before, %guard ]
  ret ptr %result
}}

define internal void @anychip.leave(ptr %state, ptr %job, ptr %before) {{
entry:
  %current_p = call ptr @state.current(ptr %state)
  %current = load volatile ptr, ptr %current_p
  %own = icmp eq ptr %current, %job
  br i1 %own, label %restore, label %done
restore:
  store volatile ptr %before, ptr %current_p
  br label %done
done:
  ret void
}}

; What to do when a job is marked: 0 to go on, else the code with which it ends.
define internal i32 @anychip.attend(ptr %job) cold noinline {{
entry:
  %type = alloca ptr
  %failure_p = call ptr @job.failure(ptr %job)
  %failure = load atomic i32, ptr %failure_p monotonic, align 4
  %failed = icmp ne i32 %failure, 0
  br i1 %failed, label %stop, label %who
stop:
  ret i32 %failure
who:
  %state_p = call ptr @job.state(ptr %job)
  %state = load ptr, ptr %state_p
  %current_p = call ptr @state.current(ptr %state)
  %current = load volatile ptr, ptr %current_p
  %main_p = call ptr @state.main_thread(ptr %state)
  %main = load i64, ptr %main_p
  %self = call i64 @pthread_self()
  %is_main = icmp eq i64 %self, %main
  %is_current = icmp eq ptr %current, %job
  %responsible = and i1 %is_main, %is_current
  br i1 %responsible, label %ask, label %go_on
ask:
  %attention_p = call ptr @job.attention(ptr %job)
  store atomic i32 0, ptr %attention_p monotonic, align 4
  %lock = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  %calm = icmp eq i32 %raised, 0
  br i1 %calm, label %release, label %keep
keep:
  %type_p = call ptr @state.raised_type(ptr %state)
  %value_p = call ptr @state.raised_value(ptr %state)
  %trace_p = call ptr @state.raised_traceback(ptr %state)
  call void @PyErr_Fetch(ptr %type_p, ptr %value_p, ptr %trace_p)
  %set = cmpxchg ptr %failure_p, i32 0, i32 {INTERRUPTED} monotonic monotonic
  store atomic i32 1, ptr %attention_p monotonic, align 4
  br label %release
release:
  call void @PyGILState_Release(i32 %lock)
  %code = load atomic i32, ptr %failure_p monotonic, align 4
  ret i32 %code
go_on:
  ret i32 0
}}

; What a kernel calls from a marked job: 1 to leave at once, with the reason in its arena.
define internal i32 @anychip.poll(ptr %arena) {{
entry:
  %job_p = call ptr @arena.job(ptr %arena)
  %job = load ptr, ptr %job_p
  %code = call i32 @anychip.attend(ptr %job)
  %on = icmp eq i32 %code, 0
  br i1 %on, label %stay, label %leave
leave:
  %status_p = call ptr @arena.status(ptr %arena)
  store i32 %code, ptr %status_p
  ret i32 1
stay:
  ret i32 0
}}

; Readies an arena for a program of %job.
define internal void @anychip.prepare(ptr %job, ptr %arena) alwaysinline {{
  %status_p = call ptr @arena.status(ptr %arena)
  store i32 0, ptr %status_p
  %a_job = call ptr @arena.job(ptr %arena)
  store ptr %job, ptr %a_job
  %attention_p = call ptr @job.attention(ptr %job)
  %a_attention = call ptr @arena.attention(ptr %arena)
  store ptr %attention_p, ptr %a_attention
  %a_poll = call ptr @arena.poll(ptr %arena)
  store ptr @anychip.poll, ptr %a_poll
  ret void
}}

; The calling thread's part is done: if others may be in an endless loop, it stays with their signals until
; all programs are over.
define internal void @anychip.linger(ptr %job, i64 %member) {{
entry:
  %endless_p = call ptr @job.endless(ptr %job)
  %endless = load i64, ptr %endless_p
  %is_endless = icmp ne i64 %endless, 0
  %is_caller = icmp eq i64 %member, 0
  %stays = and i1 %is_endless, %is_caller
  br i1 %stays, label %look, label %done
look:
  %turns = phi i64 [ 0, %entry ], [ %turns_next, %sleep ], [ %turns_next, %spin ]
  %completed_p = call ptr @job.completed(ptr %job)
  %completed = load atomic i64, ptr %completed_p monotonic, align 8
  %total_p = call ptr @job.total(ptr %job)
  %total = load i64, ptr %total_p
  %all = icmp uge i64 %completed, %total
  br i1 %all, label %done, label %check
check:
  %attention_p = call ptr @job.attention(ptr %job)
  %attention = load atomic i32, ptr %attention_p monotonic, align 4
  %marked = icmp ne i32 %attention, 0
  %turns_next = add i64 %turns, 1
  %still_spinning = icmp ult i64 %turns, {MEMBER_SPINS}
  br i1 %marked, label %attend, label %pause
attend:
  %code = call i32 @anychip.attend(ptr %job)
  %over = icmp ne i32 %code, 0
  br i1 %over, label %done, label %pause
pause:
  br i1 %still_spinning, label %spin, label %sleep
spin:
  br label %look
sleep:
  %slept = call i32 @usleep(i32 {MEMBER_WAIT_MICROSECONDS})
  br label %look
done:
  ret void
}}
"""

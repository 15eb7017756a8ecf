"""LLVM IR of a small thread pool, used where no OpenMP runtime is loaded and in forked children,
whose OpenMP threads stayed with the parent.

Threads start when a launch first wants them and sleep on a condition between launches. A launch
that finds the pool busy runs on the calling thread.
"""

from __future__ import annotations

import ctypes

from .layout import Pool, Worker

POOL = f"""
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare ptr @calloc(i64, i64)

define internal ptr @anychip.pool_thread(ptr %worker) {{
entry:
  %pool_p = call ptr @worker.pool(ptr %worker)
  %pool = load ptr, ptr %pool_p
  %index_p = call ptr @worker.index(ptr %worker)
  %index = load i64, ptr %index_p
  %birth_p = call ptr @worker.generation(ptr %worker)
  %birth = load i64, ptr %birth_p
  call void @free(ptr %worker)
  %mutex = call ptr @pool.mutex(ptr %pool)
  %started = call ptr @pool.started(ptr %pool)
  %finished = call ptr @pool.finished(ptr %pool)
  %generation_p = call ptr @pool.generation(ptr %pool)
  %pending_p = call ptr @pool.pending(ptr %pool)
  %job_p = call ptr @pool.job(ptr %pool)
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %wait
wait:
  %seen = phi i64 [ %birth, %entry ], [ %seen, %sleep ], [ %generation, %work ]
  %generation = load i64, ptr %generation_p
  %same = icmp eq i64 %generation, %seen
  br i1 %same, label %sleep, label %begin
sleep:
  %woken = call i32 @pthread_cond_wait(ptr %started, ptr %mutex)
  br label %wait
begin:
  %job = load ptr, ptr %job_p
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @anychip.take_part(ptr %job, i64 %index)
  %relocked = call i32 @pthread_mutex_lock(ptr %mutex)
  %pending = load i64, ptr %pending_p
  %fewer = sub i64 %pending, 1
  store i64 %fewer, ptr %pending_p
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %signal, label %work
signal:
  %signalled = call i32 @pthread_cond_signal(ptr %finished)
  br label %work
work:
  br label %wait
}}

; The process's pool, made at the first call.
define internal ptr @anychip.pool(ptr %state) {{
  %lock = call ptr @state.lock(ptr %state)
  %pool_p = call ptr @state.pool(ptr %state)
  call void @anychip.lock(ptr %lock)
  %present = load ptr, ptr %pool_p
  %absent = icmp eq ptr %present, null
  br i1 %absent, label %make, label %done
make:
  %fresh = call ptr @calloc(i64 1, i64 {ctypes.sizeof(Pool)})
  %mutex = call ptr @pool.mutex(ptr %fresh)
  %m = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %started = call ptr @pool.started(ptr %fresh)
  %s = call i32 @pthread_cond_init(ptr %started, ptr null)
  %finished = call ptr @pool.finished(ptr %fresh)
  %f = call i32 @pthread_cond_init(ptr %finished, ptr null)
  store ptr %fresh, ptr %pool_p
  br label %done
done:
  %pool = load ptr, ptr %pool_p
  call void @anychip.unlock(ptr %lock)
  ret ptr %pool
}}

; Runs a job on %members threads, the calling one among them as member 0. Threads that cannot be
; started are missed by nobody: the others take their parts.
define internal void @anychip.run_pool(ptr %state, ptr %job, i64 %members) {{
entry:
  %handle = alloca i64
  %pool = call ptr @anychip.pool(ptr %state)
  %busy_p = call ptr @pool.busy(ptr %pool)
  %was_busy = atomicrmw xchg ptr %busy_p, i64 1 acquire
  %free = icmp eq i64 %was_busy, 0
  br i1 %free, label %own, label %alone
alone:
  call void @anychip.take_part(ptr %job, i64 0)
  ret void
own:
  %size_p = call ptr @pool.size(ptr %pool)
  %generation_p = call ptr @pool.generation(ptr %pool)
  br label %grow
grow:
  %size = load i64, ptr %size_p
  %next = add i64 %size, 1
  %enough = icmp uge i64 %next, %members
  br i1 %enough, label %start, label %create
create:
  %worker = call ptr @calloc(i64 1, i64 {ctypes.sizeof(Worker)})
  %w_pool = call ptr @worker.pool(ptr %worker)
  store ptr %pool, ptr %w_pool
  %w_index = call ptr @worker.index(ptr %worker)
  store i64 %next, ptr %w_index
  %generation_now = load i64, ptr %generation_p
  %w_generation = call ptr @worker.generation(ptr %worker)
  store i64 %generation_now, ptr %w_generation
  %error = call i32 @pthread_create(ptr %handle, ptr null, ptr @anychip.pool_thread, ptr %worker)
  %created = icmp eq i32 %error, 0
  br i1 %created, label %count, label %give_up
count:
  %id = load i64, ptr %handle
  %detached = call i32 @pthread_detach(i64 %id)
  store i64 %next, ptr %size_p
  br label %grow
give_up:
  call void @free(ptr %worker)
  br label %start
start:
  %mutex = call ptr @pool.mutex(ptr %pool)
  %started = call ptr @pool.started(ptr %pool)
  %finished = call ptr @pool.finished(ptr %pool)
  %pending_p = call ptr @pool.pending(ptr %pool)
  %job_p = call ptr @pool.job(ptr %pool)
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %threads = load i64, ptr %size_p
  store i64 %threads, ptr %pending_p
  store ptr %job, ptr %job_p
  %generation = load i64, ptr %generation_p
  %following = add i64 %generation, 1
  store i64 %following, ptr %generation_p
  %woken = call i32 @pthread_cond_broadcast(ptr %started)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @anychip.take_part(ptr %job, i64 0)
  %relocked = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %wait
wait:
  %pending = load i64, ptr %pending_p
  %over = icmp eq i64 %pending, 0
  br i1 %over, label %end, label %sleep
sleep:
  %waited = call i32 @pthread_cond_wait(ptr %finished, ptr %mutex)
  br label %wait
end:
  %reunlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  store atomic i64 0, ptr %busy_p release, align 8
  ret void
}}
"""

"""LLVM IR of a handler for SIGSEGV and SIGBUS that says which kernel died, and of which argument.

Every loaded kernel stands in a table with the addresses of its code. A fault inside a kernel writes a message
to stderr; then, as after any other fault, the handler that was there before has its turn (that of Python's
`faulthandler`, or the end of the process). Nothing is allocated and no lock is taken on the way.
"""

from __future__ import annotations

import platform
import sys

FAULTS = (7, 11)
"""SIGBUS and SIGSEGV on Linux."""

_PROGRAM_COUNTER = {"x86_64": 168, "aarch64": 440, "riscv64": 176}
"""Byte of Linux's `ucontext_t` where the address of the instruction stands, by machine."""

_ADDRESS_OF_FAULT = 16
"""Byte of Linux's `siginfo_t` where the address stands that was accessed."""

_ACTION_BYTES, _ACTION_FLAGS, _SIGINFO, _ONSTACK = 160, 136, 0x4, 0x08000000

_ADVICE = (
    "  Run with ANYCHIP_SANITIZE=1 to have every access checked: an error then names line and element.\n"
)

_MESSAGE = (
    "\nanychip: kernel %s accessed address %p, which it may not; nearest of its arguments: %s (%p, %ld bytes "
    f"away)\n{_ADVICE}"
)
_WITHOUT_ARGUMENT = f"\nanychip: kernel %s accessed address %p, which it may not\n{_ADVICE}"
_WITHOUT_ADDRESS = f"\nanychip: kernel %s accessed an address that no memory can have\n{_ADVICE}"

_CODE, _NO_ADDRESS = 8, 128
"""Byte of `siginfo_t` where the reason stands, and the one (SI_KERNEL) with which x86-64 tells no address."""


def is_supported() -> bool:
    """Whether the layout of a signal's context is known here."""
    return sys.platform == "linux" and platform.machine() in _PROGRAM_COUNTER


def _text(name: str, text: str) -> str:
    data = text.encode() + b"\0"
    escaped = "".join(f"\\{byte:02X}" for byte in data)
    return f'@{name} = internal constant [{len(data)} x i8] c"{escaped}"'


FAULT = f"""
declare i32 @snprintf(ptr, i64, ptr, ...)
declare i64 @write(i32, ptr, i64)
{_text("anychip.fault_message", _MESSAGE)}
{_text("anychip.fault_short", _WITHOUT_ARGUMENT)}
{_text("anychip.fault_nowhere", _WITHOUT_ADDRESS)}
@anychip.fault_state = internal global ptr null
@anychip.previous_fault = internal global [ 32 x [ {_ACTION_BYTES} x i8 ] ] zeroinitializer, align 8

define void @anychip.on_fault(i32 %signal, ptr %info, ptr %context) {{
entry:
  %buffer = alloca [ 1024 x i8 ]
  %state = load ptr, ptr @anychip.fault_state
  %pc_p = getelementptr i8, ptr %context, i64 {_PROGRAM_COUNTER.get(platform.machine(), 0)}
  %pc = load i64, ptr %pc_p
  %address_p = getelementptr i8, ptr %info, i64 {_ADDRESS_OF_FAULT}
  %address = load i64, ptr %address_p
  %kernels_p = call ptr @state.kernels(ptr %state)
  br label %next
next:
  %link = phi ptr [ %kernels_p, %entry ], [ %link_next, %other ]
  %kernel = load ptr, ptr %link
  %none = icmp eq ptr %kernel, null
  br i1 %none, label %chain, label %look
look:
  %first_p = call ptr @kernel.first(ptr %kernel)
  %first = load i64, ptr %first_p
  %last_p = call ptr @kernel.last(ptr %kernel)
  %last = load i64, ptr %last_p
  %above = icmp uge i64 %pc, %first
  %below = icmp ult i64 %pc, %last
  %inside = and i1 %above, %below
  br i1 %inside, label %found, label %other
other:
  %link_next = call ptr @kernel.next(ptr %kernel)
  br label %next
found:
  %name_p = call ptr @kernel.name(ptr %kernel)
  %name = load ptr, ptr %name_p
  %record_p = call ptr @kernel.record(ptr %kernel)
  %record = load ptr, ptr %record_p
  %slots_p = call ptr @function.slots(ptr %record)
  %slots = load ptr, ptr %slots_p
  %count_p = call ptr @kernel.pointers(ptr %kernel)
  %count = load i64, ptr %count_p
  %names_p = call ptr @kernel.names(ptr %kernel)
  %names = load ptr, ptr %names_p
  %numbers_p = call ptr @kernel.numbers(ptr %kernel)
  %numbers = load ptr, ptr %numbers_p
  %code_p = getelementptr i8, ptr %info, i64 {_CODE}
  %code = load i32, ptr %code_p
  %has_no_address = icmp eq i32 %code, {_NO_ADDRESS}
  br i1 %has_no_address, label %nowhere, label %addressed
addressed:
  %no_slots = icmp eq ptr %slots, null
  br i1 %no_slots, label %short, label %argument
argument:
  %k = phi i64 [ 0, %addressed ], [ %k_next, %measured ]
  %best = phi i64 [ -1, %addressed ], [ %best_next, %measured ]
  %nearest = phi i64 [ -1, %addressed ], [ %nearest_next, %measured ]
  %all = icmp uge i64 %k, %count
  br i1 %all, label %chosen, label %measured
measured:
  %number_p = getelementptr i64, ptr %numbers, i64 %k
  %number = load i64, ptr %number_p
  %slot = getelementptr i64, ptr %slots, i64 %number
  %pointer = load i64, ptr %slot
  %behind = sub i64 %address, %pointer
  %before = sub i64 %pointer, %address
  %distance = call i64 @llvm.umin.i64(i64 %behind, i64 %before)
  %closer = icmp ult i64 %distance, %best
  %best_next = select i1 %closer, i64 %distance, i64 %best
  %nearest_next = select i1 %closer, i64 %k, i64 %nearest
  %k_next = add i64 %k, 1
  br label %argument
chosen:
  %no_argument = icmp slt i64 %nearest, 0
  br i1 %no_argument, label %short, label %full
full:
  %c_number_p = getelementptr i64, ptr %numbers, i64 %nearest
  %c_number = load i64, ptr %c_number_p
  %c_slot = getelementptr i64, ptr %slots, i64 %c_number
  %c_pointer = load i64, ptr %c_slot
  %c_name_p = getelementptr ptr, ptr %names, i64 %nearest
  %c_name = load ptr, ptr %c_name_p
  %offset = sub i64 %address, %c_pointer
  %long = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %buffer, i64 1024, ptr @anychip.fault_message,
    ptr %name, i64 %address, ptr %c_name, i64 %c_pointer, i64 %offset)
  br label %say
short:
  %brief = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %buffer, i64 1024, ptr @anychip.fault_short,
    ptr %name, i64 %address)
  br label %say
nowhere:
  %briefest = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %buffer, i64 1024, ptr @anychip.fault_nowhere,
    ptr %name)
  br label %say
say:
  %length = phi i32 [ %long, %full ], [ %brief, %short ], [ %briefest, %nowhere ]
  %length64 = sext i32 %length to i64
  %bounded = call i64 @llvm.umin.i64(i64 %length64, i64 1023)
  %written = call i64 @write(i32 2, ptr %buffer, i64 %bounded)
  br label %chain
chain:
  %index = zext i32 %signal to i64
  %previous = getelementptr [ 32 x [ {_ACTION_BYTES} x i8 ] ], ptr @anychip.previous_fault, i64 0, i64 %index
  %handler = load ptr, ptr %previous
  %handler_number = ptrtoint ptr %handler to i64
  %by_system = icmp ult i64 %handler_number, 2
  br i1 %by_system, label %die, label %call
die:
  %put_back = call i32 @sigaction(i32 %signal, ptr %previous, ptr null)
  ret void
call:
  call void %handler(i32 %signal, ptr %info, ptr %context)
  ret void
}}

; Puts the handler before the one that there is.
define void @anychip.watch_faults(ptr %state, i32 %signal) {{
entry:
  %action = alloca [ {_ACTION_BYTES} x i8 ], align 8
  store ptr %state, ptr @anychip.fault_state
  %index = zext i32 %signal to i64
  %previous = getelementptr [ 32 x [ {_ACTION_BYTES} x i8 ] ], ptr @anychip.previous_fault, i64 0, i64 %index
  %asked = call i32 @sigaction(i32 %signal, ptr null, ptr %previous)
  call void @llvm.memcpy.p0.p0.i64(ptr %action, ptr %previous, i64 {_ACTION_BYTES - 8}, i1 false)
  store ptr @anychip.on_fault, ptr %action
  %flags_p = getelementptr i8, ptr %action, i64 {_ACTION_FLAGS}
  %flags = load i32, ptr %flags_p
  %with = or i32 %flags, {_SIGINFO | _ONSTACK}
  store i32 %with, ptr %flags_p
  %put = call i32 @sigaction(i32 %signal, ptr %action, ptr null)
  ret void
}}
"""

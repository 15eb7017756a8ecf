"""LLVM IR of the function that Python calls to launch a kernel, and the making of it.

`anychip.call` has CPython's METH_FASTCALL signature. It packs arguments into slots and runs the
grid, without the interpreter lock when that will take a while. Whatever is out of the ordinary
(hooks, recorders, unusual arguments, errors to explain) is handed, arguments and all, to the
launcher written in Python. It uses exported functions of CPython only, and one offset: that of
an object's type, which is the same in every build with an interpreter lock.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Callable, Sequence

from ..slots import Slot
from .layout import Plan

FIXED_ARGUMENTS = 9
"""Grid (3), stream, function, two metadata, two hooks: what comes before the kernel's own."""

BRIEF_PICOSECONDS = 20_000_000
"""Launches expected to be shorter keep the interpreter lock: taking it back may cost more."""

_METH_FASTCALL = 0x0080
_TYPE_OFFSET = 8
_INTEGER_SUBCLASS_FLAG = 1 << 24
_ONE_ARGUMENT = 1 - (1 << 63)

_RUN_ARGUMENTS = "ptr %state, ptr %function, ptr %slots, i64 %gx, i64 %gy, i64 %gz, ptr %program"

PYTHON_FUNCTIONS = {
    "PyBytes_AsString": "ptr (ptr)",
    "PyErr_CheckSignals": "i32 ()",
    "PyErr_Clear": "void ()",
    "PyErr_Fetch": "void (ptr, ptr, ptr)",
    "PyErr_Occurred": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "PyEval_SaveThread": "ptr ()",
    "PyFloat_AsDouble": "double (ptr)",
    "PyFloat_Pack2": "i32 (double, ptr, i32)",
    "PyGILState_Ensure": "i32 ()",
    "PyGILState_Release": "void (i32)",
    "PyLong_AsLongLong": "i64 (ptr)",
    "PyLong_AsUnsignedLongLongMask": "i64 (ptr)",
    "PyLong_FromLongLong": "ptr (i64)",
    "PyObject_GetAttr": "ptr (ptr, ptr)",
    "PyObject_IsTrue": "i32 (ptr)",
    "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)",
    "PyObject_VectorcallMethod": "ptr (ptr, ptr, i64, ptr)",
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "PyType_GetFlags": "i64 (ptr)",
    "Py_DecRef": "void (ptr)",
    "Py_IncRef": "void (ptr)",
}
"""Functions of CPython's API that are called, with their types."""


def _declarations() -> str:
    lines = []
    for name, text in PYTHON_FUNCTIONS.items():
        result, _, parameters = text.partition(" ")
        lines.append(f"declare {result} @{name}{parameters}")
    return "\n".join(lines)


CALL = f"""
{_declarations()}

; 1: the hook calls nothing; 0: it calls something, or is not one of Triton's chains of hooks.
define internal i1 @anychip.idle(ptr %plan, ptr %hook) {{
entry:
  %none_p = call ptr @plan.none(ptr %plan)
  %none = load ptr, ptr %none_p
  %absent = icmp eq ptr %hook, %none
  br i1 %absent, label %yes, label %look
look:
  %name_p = call ptr @plan.calls(ptr %plan)
  %name = load ptr, ptr %name_p
  %calls = call ptr @PyObject_GetAttr(ptr %hook, ptr %name)
  %unknown = icmp eq ptr %calls, null
  br i1 %unknown, label %clear, label %count
clear:
  call void @PyErr_Clear()
  br label %no
count:
  %truth = call i32 @PyObject_IsTrue(ptr %calls)
  call void @Py_DecRef(ptr %calls)
  %empty = icmp eq i32 %truth, 0
  br i1 %empty, label %yes, label %no
yes:
  ret i1 1
no:
  ret i1 0
}}

; An extent of the grid, or -1 for whatever is not an integer from 0 to 2^31-1.
define internal i64 @anychip.extent(ptr %object) {{
  %value = call i64 @PyLong_AsLongLong(ptr %object)
  %well = icmp ult i64 %value, 2147483648
  br i1 %well, label %good, label %bad
good:
  ret i64 %value
bad:
  call void @PyErr_Clear()
  ret i64 -1
}}

; Packs a pointer argument. 0: done, 1: let Python look at it.
define internal i32 @anychip.pack_pointer(ptr %plan, ptr %object, ptr %slot) {{
entry:
  %vector = alloca [ 2 x ptr ]
  %none_p = call ptr @plan.none(ptr %plan)
  %none = load ptr, ptr %none_p
  %is_none = icmp eq ptr %object, %none
  br i1 %is_none, label %zero, label %inspect
zero:
  store i64 0, ptr %slot
  ret i32 0
inspect:
  %type_p = getelementptr i8, ptr %object, i64 {_TYPE_OFFSET}
  %type = load ptr, ptr %type_p
  %flags = call i64 @PyType_GetFlags(ptr %type)
  %integer_flag = and i64 %flags, {_INTEGER_SUBCLASS_FLAG}
  %is_integer = icmp ne i64 %integer_flag, 0
  br i1 %is_integer, label %integer, label %device
integer:
  %address = call i64 @PyLong_AsUnsignedLongLongMask(ptr %object)
  store i64 %address, ptr %slot
  ret i32 0
device:
  %is_cpu_p = call ptr @plan.is_cpu(ptr %plan)
  %is_cpu = load ptr, ptr %is_cpu_p
  %on_cpu = call ptr @PyObject_GetAttr(ptr %object, ptr %is_cpu)
  %silent = icmp eq ptr %on_cpu, null
  br i1 %silent, label %python, label %answered
answered:
  call void @Py_DecRef(ptr %on_cpu)
  %false_p = call ptr @plan.false(ptr %plan)
  %false = load ptr, ptr %false_p
  %elsewhere = icmp eq ptr %on_cpu, %false
  br i1 %elsewhere, label %python, label %ask
ask:
  %first = getelementptr i8, ptr %vector, i64 8
  store ptr %object, ptr %first
  %name_p = call ptr @plan.data_ptr(ptr %plan)
  %name = load ptr, ptr %name_p
  %result = call ptr @PyObject_VectorcallMethod(ptr %name, ptr %first, i64 {_ONE_ARGUMENT}, ptr null)
  %refused = icmp eq ptr %result, null
  br i1 %refused, label %python, label %store
store:
  %bits = call i64 @PyLong_AsUnsignedLongLongMask(ptr %result)
  call void @Py_DecRef(ptr %result)
  store i64 %bits, ptr %slot
  ret i32 0
python:
  call void @PyErr_Clear()
  ret i32 1
}}

; Packs one argument by its opcode (`slots.Slot`). 0: done, 1: let Python look at it.
define internal i32 @anychip.pack(ptr %plan, i8 %opcode, ptr %object, ptr %slot) {{
entry:
  switch i8 %opcode, label %python [
    i8 {int(Slot.POINTER)}, label %pointer
    i8 {int(Slot.INT)}, label %integer
    i8 {int(Slot.BOOL)}, label %bool
    i8 {int(Slot.F16)}, label %real
    i8 {int(Slot.BF16)}, label %real
    i8 {int(Slot.F32)}, label %real
    i8 {int(Slot.F64)}, label %real
  ]
pointer:
  %rc = call i32 @anychip.pack_pointer(ptr %plan, ptr %object, ptr %slot)
  ret i32 %rc
integer:
  %int_bits = call i64 @PyLong_AsUnsignedLongLongMask(ptr %object)
  store i64 %int_bits, ptr %slot
  %minus_one = icmp eq i64 %int_bits, -1
  br i1 %minus_one, label %doubt, label %done
doubt:
  %error = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %done, label %python
bool:
  %truth = call i32 @PyObject_IsTrue(ptr %object)
  %truth_bits = sext i32 %truth to i64
  store i64 %truth_bits, ptr %slot
  %no_truth = icmp slt i32 %truth, 0
  br i1 %no_truth, label %python, label %done
real:
  %value = call double @PyFloat_AsDouble(ptr %object)
  %suspicious = fcmp oeq double %value, -1.0
  br i1 %suspicious, label %real_doubt, label %round
real_doubt:
  %real_error = call ptr @PyErr_Occurred()
  %real_fine = icmp eq ptr %real_error, null
  br i1 %real_fine, label %round, label %python
round:
  %single = fptrunc double %value to float
  %single_bits = bitcast float %single to i32
  switch i8 %opcode, label %f64 [
    i8 {int(Slot.F16)}, label %f16
    i8 {int(Slot.BF16)}, label %bf16
    i8 {int(Slot.F32)}, label %f32
  ]
f64:
  %double_bits = bitcast double %value to i64
  store i64 %double_bits, ptr %slot
  br label %done
f32:
  %f32_bits = zext i32 %single_bits to i64
  store i64 %f32_bits, ptr %slot
  br label %done
bf16:
  %nan = fcmp uno float %single, %single
  br i1 %nan, label %python, label %round_bf16
round_bf16:
  %high = lshr i32 %single_bits, 16
  %odd = and i32 %high, 1
  %bias = add i32 %odd, 32767
  %biased = add i32 %single_bits, %bias
  %bf16_bits = lshr i32 %biased, 16
  %bf16_wide = zext i32 %bf16_bits to i64
  store i64 %bf16_wide, ptr %slot
  br label %done
f16:
  store i64 0, ptr %slot
  %packed = call i32 @PyFloat_Pack2(double %value, ptr %slot, i32 1)
  %overflow = icmp ne i32 %packed, 0
  br i1 %overflow, label %python, label %done
python:
  call void @PyErr_Clear()
  ret i32 1
done:
  ret i32 0
}}

; Raises what a launch's result code stands for.
define internal ptr @anychip.raise(ptr %plan, ptr %function, i32 %code, ptr %program) {{
entry:
  %vector = alloca [ 5 x ptr ]
  store ptr %function, ptr %vector
  %code64 = sext i32 %code to i64
  %code_object = call ptr @PyLong_FromLongLong(i64 %code64)
  %second = getelementptr ptr, ptr %vector, i64 1
  store ptr %code_object, ptr %second
  br label %axis
axis:
  %i = phi i64 [ 0, %entry ], [ %next, %axis ]
  %coordinate_p = getelementptr i32, ptr %program, i64 %i
  %coordinate = load i32, ptr %coordinate_p
  %wide = sext i32 %coordinate to i64
  %object = call ptr @PyLong_FromLongLong(i64 %wide)
  %place = add i64 %i, 2
  %element = getelementptr ptr, ptr %vector, i64 %place
  store ptr %object, ptr %element
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 3
  br i1 %more, label %axis, label %call
call:
  %fail_p = call ptr @plan.fail(ptr %plan)
  %fail = load ptr, ptr %fail_p
  %result = call ptr @PyObject_Vectorcall(ptr %fail, ptr %vector, i64 5, ptr null)
  br label %drop
drop:
  %j = phi i64 [ 1, %call ], [ %j_next, %drop ]
  %made_p = getelementptr ptr, ptr %vector, i64 %j
  %made = load ptr, ptr %made_p
  call void @Py_DecRef(ptr %made)
  %j_next = add i64 %j, 1
  %left = icmp ult i64 %j_next, 5
  br i1 %left, label %drop, label %end
end:
  ret ptr %result
}}

; The launcher: METH_FASTCALL, `self` is a tuple whose first item holds the plan.
define ptr @anychip.call(ptr %self, ptr %arguments, i64 %count) {{
entry:
  %program = alloca [ 3 x i32 ]
  %holder = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %plan = call ptr @PyBytes_AsString(ptr %holder)
  %parameters_p = call ptr @plan.parameters(ptr %plan)
  %parameters = load i64, ptr %parameters_p
  %expected = add i64 %parameters, {FIXED_ARGUMENTS}
  %complete = icmp eq i64 %count, %expected
  br i1 %complete, label %check_diversion, label %python
check_diversion:
  %state_p = call ptr @plan.state(ptr %plan)
  %state = load ptr, ptr %state_p
  %diverted_p = call ptr @state.diverted(ptr %state)
  %diverted = load i64, ptr %diverted_p
  %plain = icmp eq i64 %diverted, 0
  br i1 %plain, label %check_enter, label %python
check_enter:
  %enter_p = getelementptr ptr, ptr %arguments, i64 7
  %enter = load ptr, ptr %enter_p
  %enter_idle = call i1 @anychip.idle(ptr %plan, ptr %enter)
  br i1 %enter_idle, label %check_exit, label %python
check_exit:
  %exit_p = getelementptr ptr, ptr %arguments, i64 8
  %exit = load ptr, ptr %exit_p
  %exit_idle = call i1 @anychip.idle(ptr %plan, ptr %exit)
  br i1 %exit_idle, label %read_grid, label %python
read_grid:
  %gx_object = load ptr, ptr %arguments
  %gx = call i64 @anychip.extent(ptr %gx_object)
  %gy_p = getelementptr ptr, ptr %arguments, i64 1
  %gy_object = load ptr, ptr %gy_p
  %gy = call i64 @anychip.extent(ptr %gy_object)
  %gz_p = getelementptr ptr, ptr %arguments, i64 2
  %gz_object = load ptr, ptr %gz_p
  %gz = call i64 @anychip.extent(ptr %gz_object)
  %xy_signs = or i64 %gx, %gy
  %signs = or i64 %xy_signs, %gz
  %bad_grid = icmp slt i64 %signs, 0
  br i1 %bad_grid, label %python, label %read_function
read_function:
  %function_p = getelementptr ptr, ptr %arguments, i64 4
  %function_object = load ptr, ptr %function_p
  %function_bits = call i64 @PyLong_AsUnsignedLongLongMask(ptr %function_object)
  %function = inttoptr i64 %function_bits to ptr
  %no_function = icmp eq i64 %function_bits, -1
  br i1 %no_function, label %refuse_function, label %prepare
refuse_function:
  call void @PyErr_Clear()
  br label %python
prepare:
  %slot_count_p = call ptr @plan.slots(ptr %plan)
  %slot_count = load i64, ptr %slot_count_p
  %slots = alloca i64, i64 %slot_count, align 16
  %opcodes = getelementptr i8, ptr %plan, i64 {ctypes.sizeof(Plan)}
  br label %loop
loop:
  %i = phi i64 [ 0, %prepare ], [ %i_next, %advance ]
  %s = phi i64 [ 0, %prepare ], [ %s_next, %advance ]
  %packed_all = icmp eq i64 %i, %parameters
  br i1 %packed_all, label %launch, label %one
one:
  %opcode_p = getelementptr i8, ptr %opcodes, i64 %i
  %opcode = load i8, ptr %opcode_p
  %skip = icmp eq i8 %opcode, {int(Slot.SKIP)}
  br i1 %skip, label %advance, label %pack
pack:
  %position = add i64 %i, {FIXED_ARGUMENTS}
  %object_p = getelementptr ptr, ptr %arguments, i64 %position
  %object = load ptr, ptr %object_p
  %slot = getelementptr i64, ptr %slots, i64 %s
  %rc = call i32 @anychip.pack(ptr %plan, i8 %opcode, ptr %object, ptr %slot)
  %s_after = add i64 %s, 1
  %taken = icmp eq i32 %rc, 0
  br i1 %taken, label %advance, label %python
advance:
  %s_next = phi i64 [ %s, %one ], [ %s_after, %pack ]
  %i_next = add i64 %i, 1
  br label %loop
launch:
  %each_p = call ptr @function.picoseconds(ptr %function)
  %each = load atomic i64, ptr %each_p monotonic, align 8
  %known = icmp ne i64 %each, 0
  %gxy = mul i64 %gx, %gy
  %total = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %gxy, i64 %gz)
  %programs = extractvalue {{ i64, i1 }} %total, 0
  %overflow_1 = extractvalue {{ i64, i1 }} %total, 1
  %work = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %programs, i64 %each)
  %picoseconds = extractvalue {{ i64, i1 }} %work, 0
  %overflow_2 = extractvalue {{ i64, i1 }} %work, 1
  %overflow = or i1 %overflow_1, %overflow_2
  %short = icmp ult i64 %picoseconds, {BRIEF_PICOSECONDS}
  %bounded = xor i1 %overflow, true
  %short_known = and i1 %short, %known
  %brief = and i1 %short_known, %bounded
  br i1 %brief, label %keep, label %give
keep:
  %code_1 = call i32 @anychip.run({_RUN_ARGUMENTS})
  br label %result
give:
  %thread = call ptr @PyEval_SaveThread()
  %code_2 = call i32 @anychip.run({_RUN_ARGUMENTS})
  call void @PyEval_RestoreThread(ptr %thread)
  br label %result
result:
  %code = phi i32 [ %code_1, %keep ], [ %code_2, %give ]
  %well = icmp eq i32 %code, 0
  br i1 %well, label %done, label %failed
done:
  %none_p = call ptr @plan.none(ptr %plan)
  %none = load ptr, ptr %none_p
  call void @Py_IncRef(ptr %none)
  ret ptr %none
failed:
  %raised = call ptr @anychip.raise(ptr %plan, ptr %function_object, i32 %code, ptr %program)
  ret ptr %raised
python:
  %fallback_p = call ptr @plan.fallback(ptr %plan)
  %fallback = load ptr, ptr %fallback_p
  %answer = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %arguments, i64 %count, ptr null)
  ret ptr %answer
}}
"""


class _MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def is_supported() -> bool:
    """Whether this interpreter has the object layout that the native launcher relies on."""
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def imports() -> dict[str, int]:
    """Addresses of the functions of CPython that the native code calls."""
    return {
        name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
        for name in PYTHON_FUNCTIONS
    }


def make_definition(address: int) -> _MethodDefinition:
    """The method definition shared by all native launchers; it must outlive them."""
    return _MethodDefinition(b"launch", address, _METH_FASTCALL, b"Launch one Triton kernel on the CPU.")


def make_launcher(
    definition: _MethodDefinition,
    state: int,
    opcodes: Sequence[Slot],
    fallback: Callable[..., None],
    fail: Callable[..., None],
) -> Callable[..., None]:
    """A builtin function that launches the kernel whose parameters are packed by `opcodes`.
    `fallback` takes the launches that it does not; `fail` raises for result codes."""
    names = tuple(map(sys.intern, ("data_ptr", "is_cpu", "calls")))
    plan = Plan(
        state,
        id(fallback),
        id(fail),
        id(None),
        id(False),
        *map(id, names),
        len(opcodes),
        max(1, sum(opcode is not Slot.SKIP for opcode in opcodes)),
    )
    held = (bytes(plan) + bytes(opcodes), fallback, fail, names)
    new_function = ctypes.pythonapi.PyCFunction_NewEx
    new_function.restype = ctypes.py_object
    new_function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return new_function(ctypes.addressof(definition), held, None)

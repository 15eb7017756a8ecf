"""Functions of CPython that the native code calls, all of them exported by every build of it."""

from __future__ import annotations

import ctypes

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import External
from ...compiler.llvm.types import F64, I32, I64, PTR, VOID, Val

bytes_as_string = External("PyBytes_AsString", PTR, PTR)
check_signals = External("PyErr_CheckSignals", I32)
clear_error = External("PyErr_Clear", VOID)
fetch_error = External("PyErr_Fetch", VOID, PTR, PTR, PTR)
error_occurred = External("PyErr_Occurred", PTR)
restore_thread = External("PyEval_RestoreThread", VOID, PTR)
save_thread = External("PyEval_SaveThread", PTR)
float_as_double = External("PyFloat_AsDouble", F64, PTR)
float_pack_half = External("PyFloat_Pack2", I32, F64, PTR, I32)
ensure_lock = External("PyGILState_Ensure", I32)
release_lock = External("PyGILState_Release", VOID, I32)
integer_as_i64 = External("PyLong_AsLongLong", I64, PTR)
integer_bits = External("PyLong_AsUnsignedLongLongMask", I64, PTR)
integer_of_i64 = External("PyLong_FromLongLong", PTR, I64)
bytes_of = External("PyBytes_FromStringAndSize", PTR, PTR, I64)
call_object = External("PyObject_Call", PTR, PTR, PTR, PTR)
get_attribute = External("PyObject_GetAttr", PTR, PTR, PTR)
get_context_variable = External("PyContextVar_Get", I32, PTR, PTR, PTR)
is_true = External("PyObject_IsTrue", I32, PTR)
vectorcall = External("PyObject_Vectorcall", PTR, PTR, PTR, I64, PTR)
vectorcall_method = External("PyObject_VectorcallMethod", PTR, PTR, PTR, I64, PTR)
list_item = External("PyList_GetItem", PTR, PTR, I64)
list_size = External("PyList_Size", I64, PTR)
new_list = External("PyList_New", PTR, I64)
new_tuple = External("PyTuple_New", PTR, I64)
next_item = External("PyDict_Next", I32, PTR, PTR, PTR, PTR)
set_list_item = External("PyList_SetItem", I32, PTR, I64, PTR)
set_tuple_item = External("PyTuple_SetItem", I32, PTR, I64, PTR)
text_as_bytes = External("PyUnicode_AsUTF8AndSize", PTR, PTR, PTR)
tuple_item = External("PyTuple_GetItem", PTR, PTR, I64)
tuple_size = External("PyTuple_Size", I64, PTR)
type_flags = External("PyType_GetFlags", I64, PTR)
decrease_references = External("Py_DecRef", VOID, PTR)
increase_references = External("Py_IncRef", VOID, PTR)

FUNCTIONS = tuple(value for value in globals().values() if isinstance(value, External))

_TYPE_OFFSET = 8
"""Byte of an object where the address of its type stands, in every build with an interpreter lock."""

INTEGER_SUBCLASS = 1 << 24
"""Py_TPFLAGS_LONG_SUBCLASS: the flag of `int` and its subclasses."""

ARGUMENTS_OFFSET = 1 << 63
"""PY_VECTORCALL_ARGUMENTS_OFFSET: the callee may write to the place before the first argument."""


def type_of(f: Flow, object: Val) -> Val:
    """The address of an object's type."""
    return f.load(PTR, f.gep(object, _TYPE_OFFSET))


def imports() -> dict[str, int]:
    """Addresses of the functions in this process."""
    return {
        function.name: ctypes.cast(getattr(ctypes.pythonapi, function.name), ctypes.c_void_p).value or 0
        for function in FUNCTIONS
    }

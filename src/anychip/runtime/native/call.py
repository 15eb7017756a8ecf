"""What Python calls to launch a kernel, and the making of it.

`launch` has CPython's METH_FASTCALL signature. It packs arguments into slots and runs the
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

from ...compiler.llvm.flow import Block, Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I1, I8, I32, I64, PTR, Val, array
from ..slots import Opcodes, Slot
from . import packing, python_api
from .grid import run
from .structures import FUNCTION, PLAN, PROGRAM, STATE

FUNCTION_ARGUMENT, ENTER_HOOK, EXIT_HOOK, FIXED_ARGUMENTS = 4, 7, 8, 9
"""Places of arguments. Grid (3), stream, function, two metadata, two hooks come before the kernel's own."""

BRIEF_PICOSECONDS = 20_000_000
"""Launches expected to be shorter keep the interpreter lock: taking it back may cost more."""

GRID_LIMIT = 1 << 31
"""An extent of the grid is less."""

_METH_FASTCALL = 0x0080
_VALUES = 7
"""The bits of an opcode that are all zero where it is none of a value."""


@routine("anychip.idle", I1, plan=PTR, hook=PTR)
def _is_idle(f: Flow, plan_at: Val, hook: Val) -> Val:
    """Whether a hook calls nothing: it is None, or one of Triton's chains of hooks without any."""
    plan = PLAN.at(f, plan_at)
    with f.if_(f.eq(hook, plan.load("none"))):
        f.return_(1)
    calls = python_api.get_attribute(f, hook, plan.load("calls"))
    with f.if_(f.eq(calls, 0)):
        python_api.clear_error(f)
        f.return_(0)
    truth = python_api.is_true(f, calls)
    python_api.decrease_references(f, calls)
    return f.eq(truth, 0)


@routine("anychip.extent", I64, object=PTR)
def _extent(f: Flow, object: Val) -> Val:
    """An extent of the grid, or -1 for whatever is not an integer from 0 to before `GRID_LIMIT`."""
    value = python_api.integer_as_i64(f, object)
    with f.if_(f.ult(value, GRID_LIMIT)):
        f.return_(value)
    python_api.clear_error(f)
    return f.int(-1, I64)


@routine("anychip.raise", PTR, plan=PTR, function=PTR, code=I32, program=PTR)
def _raise(f: Flow, plan: Val, function: Val, code: Val, program: Val) -> Val:
    """Raise what a launch's result code stands for: call `fail(function, code, x, y, z)` of Python."""
    count = 2 + PROGRAM.count
    vector = f.alloca(array(PTR, count))
    f.store(function, vector)
    f.store(python_api.integer_of_i64(f, f.sext(code)), f.element(PTR, vector, 1))
    for axis in range(PROGRAM.count):
        coordinate = f.sext(f.load(I32, f.element(I32, program, axis)))
        f.store(python_api.integer_of_i64(f, coordinate), f.element(PTR, vector, 2 + axis))
    result = python_api.vectorcall(f, PLAN.at(f, plan).load("fail"), vector, count, 0)
    for made in range(1, count):
        python_api.decrease_references(f, f.load(PTR, f.element(PTR, vector, made)))
    return result


@routine("anychip.call", PTR, linkage="", self=PTR, arguments=PTR, count=I64)
def launch(f: Flow, self: Val, arguments: Val, count: Val) -> Val:
    """The launcher: METH_FASTCALL, `self` is a tuple whose first item holds the plan."""
    program = f.alloca(PROGRAM)
    plan = PLAN.at(f, python_api.bytes_as_string(f, python_api.tuple_item(f, self, 0)))
    with f.attempt() as attempt:
        _leave_unless_usual(f, plan, arguments, count, attempt)
        grid = [_extent(f, _argument(f, arguments, axis)) for axis in range(3)]
        attempt.leave_if(f.slt(f.or_(f.or_(grid[0], grid[1]), grid[2]), 0))
        function_object = _argument(f, arguments, FUNCTION_ARGUMENT)
        function_bits = python_api.integer_bits(f, function_object)
        with f.if_(f.eq(function_bits, -1)):
            python_api.clear_error(f)
            attempt.leave()
        function = f.convert("inttoptr", function_bits, PTR)
        slots = f.stack_array(I64, plan.load("slots"), align=16)
        _pack_all(f, plan, arguments, slots, attempt)
        values = (plan.load("state"), function, slots, *grid, program)
        code = f.choose(
            _is_brief(f, function, grid), lambda: run(f, *values), lambda: _run_unlocked(f, values)
        )
        with f.if_(f.ne(code, 0)):
            f.return_(_raise(f, plan.pointer, function_object, code, program))
        none = plan.load("none")
        python_api.increase_references(f, none)
        f.return_(none)
    return python_api.vectorcall(f, plan.load("fallback"), arguments, count, 0)


def _argument(f: Flow, arguments: Val, number: Val | int) -> Val:
    return f.load(PTR, f.element(PTR, arguments, number))


def _leave_unless_usual(f: Flow, plan: Fields, arguments: Val, count: Val, attempt: Block) -> None:
    """Leave where arguments are missing, somebody listens to launches, or a hook calls something."""
    attempt.leave_if(f.ne(count, f.add(plan.load("parameters"), FIXED_ARGUMENTS)))
    attempt.leave_if(f.ne(STATE.at(f, plan.load("state")).load("diverted"), 0))
    for hook in (ENTER_HOOK, EXIT_HOOK):
        attempt.leave_unless(_is_idle(f, plan.pointer, _argument(f, arguments, hook)))


def _pack_all(f: Flow, plan: Fields, arguments: Val, slots: Val, attempt: Block) -> None:
    """Fill the slots; leave where an argument is for Python to look at."""
    opcodes = f.gep(plan.pointer, PLAN.size)
    packed = plan.load("packed")
    with f.counted(packed, carried=[f.int(0, I64), packed]) as each:
        used, inner = each.carried
        opcode = f.load(I8, f.element(I8, opcodes, each.index))
        with f.if_(f.eq(f.and_(opcode, _VALUES), 0)):
            with f.if_(f.eq(opcode, Slot.SKIP)):
                each.again(used, inner)
            tuple_ = _argument(f, arguments, f.add(each.index, FIXED_ARGUMENTS))
            size = f.zext(f.load(I8, f.element(I8, opcodes, inner)))
            first = f.add(inner, 1)
            used = _pack_tuple(f, plan, tuple_, size, f.element(I8, opcodes, first), slots, used, attempt)
            each.again(used, f.add(first, size))
        object = _argument(f, arguments, f.add(each.index, FIXED_ARGUMENTS))
        answer = packing.pack(f, plan.pointer, opcode, object, f.element(I64, slots, each.carried[0]))
        attempt.leave_if(f.ne(answer, packing.DONE))
        each.carry(f.add(each.carried[0], 1), inner)


def _pack_tuple(
    f: Flow, plan: Fields, values: Val, size: Val, opcodes: Val, slots: Val, used: Val, attempt: Block
) -> Val:
    """Fill the slots from `used` on with the values of a tuple; gives how many are filled then."""
    with f.if_(f.ne(python_api.tuple_size(f, values), size)):
        python_api.clear_error(f)
        attempt.leave()
    with f.counted(size, carried=[used]) as each:
        (used,) = each.carried
        opcode = f.load(I8, f.element(I8, opcodes, each.index))
        with f.if_(f.eq(opcode, Slot.SKIP)):
            each.again(used)
        value = python_api.tuple_item(f, values, each.index)
        answer = packing.pack(f, plan.pointer, opcode, value, f.element(I64, slots, used))
        attempt.leave_if(f.ne(answer, packing.DONE))
        each.carry(f.add(used, 1))
    return each.results[0]


def _is_brief(f: Flow, function: Val, grid: Sequence[Val]) -> Val:
    """Whether the launch is known to be shorter than `BRIEF_PICOSECONDS`."""
    each = FUNCTION.at(f, function).atomic_load("picoseconds")
    programs, too_many = f.umul_overflow(f.mul(grid[0], grid[1]), grid[2])
    picoseconds, too_long = f.umul_overflow(programs, each)
    known = f.and_(f.ult(picoseconds, BRIEF_PICOSECONDS), f.ne(each, 0))
    return f.and_(known, f.not_(f.or_(too_many, too_long)))


def _run_unlocked(f: Flow, values: Sequence[Val]) -> Val:
    """Run the grid without the interpreter lock."""
    thread = python_api.save_thread(f)
    code = run(f, *values)
    python_api.restore_thread(f, thread)
    return code


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


def make_definition(address: int) -> _MethodDefinition:
    """The method definition shared by all native launchers; it must outlive them."""
    return _MethodDefinition(b"launch", address, _METH_FASTCALL, b"Launch one Triton kernel on the CPU.")


def make_launcher(
    definition: _MethodDefinition,
    state: int,
    opcodes: Opcodes,
    fallback: Callable[..., None],
    fail: Callable[..., None],
) -> Callable[..., None]:
    """A builtin function that launches the kernel whose parameters are packed by `opcodes`. `fallback` takes
    the launches that it does not; `fail` raises for result codes."""
    names = tuple(map(sys.intern, ("data_ptr", "is_cpu", "calls")))
    plan = PLAN.ctypes(
        state,
        id(fallback),
        id(fail),
        id(None),
        id(False),
        *map(id, names),
        opcodes.parameters,
        opcodes.packed,
        max(1, opcodes.slots),
    )
    held = (bytes(plan) + opcodes.codes, fallback, fail, names)
    new_function = ctypes.pythonapi.PyCFunction_NewEx
    new_function.restype = ctypes.py_object
    new_function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return new_function(ctypes.addressof(definition), held, None)

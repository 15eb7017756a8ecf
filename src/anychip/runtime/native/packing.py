"""Packing of Python objects into the kernel ABI's 8-byte slots by native code, by opcode (`slots.Slot`).

Each routine gives 0 when it is done, and 1, with no error set, where the launcher in Python must look at the
argument.
"""

from __future__ import annotations

from ...compiler.llvm.flow import Block, Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.types import F32, F64, I8, I32, I64, PTR, Val, array
from ..slots import Slot
from . import python_api
from .structures import PLAN

DONE, ASK_PYTHON = 0, 1

_ONE_ARGUMENT = 1 + python_api.ARGUMENTS_OFFSET
_LITTLE_ENDIAN = 1
"""How PyFloat_Pack2 is to write."""


@routine("anychip.pack_pointer", I32, plan=PTR, object=PTR, slot=PTR)
def _pack_pointer(f: Flow, plan_at: Val, object: Val, slot: Val) -> Val:
    """None, an address, or an object with `data_ptr()` that is not on another device."""
    plan = PLAN.at(f, plan_at)
    vector = f.alloca(array(PTR, 2))
    with f.if_(f.eq(object, plan.load("none"))):
        f.store(f.int(0, I64), slot)
        f.return_(DONE)
    flags = python_api.type_flags(f, python_api.type_of(f, object))
    with f.if_(f.ne(f.and_(flags, python_api.INTEGER_SUBCLASS), 0)):
        f.store(python_api.integer_bits(f, object), slot)
        f.return_(DONE)
    with f.attempt() as attempt:
        on_cpu = python_api.get_attribute(f, object, plan.load("is_cpu"))
        attempt.leave_if(f.eq(on_cpu, 0))
        python_api.decrease_references(f, on_cpu)
        attempt.leave_if(f.eq(on_cpu, plan.load("false")))
        first = f.element(PTR, vector, 1)
        f.store(object, first)
        address = python_api.vectorcall_method(f, plan.load("data_ptr"), first, _ONE_ARGUMENT, 0)
        attempt.leave_if(f.eq(address, 0))
        bits = python_api.integer_bits(f, address)
        python_api.decrease_references(f, address)
        f.store(bits, slot)
        f.return_(DONE)
    python_api.clear_error(f)
    return f.int(ASK_PYTHON)


@routine("anychip.pack", I32, plan=PTR, opcode=I8, object=PTR, slot=PTR)
def pack(f: Flow, plan: Val, opcode: Val, object: Val, slot: Val) -> Val:
    """Pack one argument."""
    with f.attempt() as attempt, f.switch(opcode) as case:
        with case(Slot.POINTER):
            f.return_(_pack_pointer(f, plan, object, slot))
        with case(Slot.INT):
            bits = python_api.integer_bits(f, object)
            f.store(bits, slot)
            with f.if_(f.eq(bits, -1)):
                attempt.leave_if(f.ne(python_api.error_occurred(f), 0))
            f.return_(DONE)
        with case(Slot.BOOL):
            truth = python_api.is_true(f, object)
            f.store(f.sext(truth), slot)
            attempt.leave_if(f.slt(truth, 0))
            f.return_(DONE)
        with case(Slot.F16, Slot.BF16, Slot.F32, Slot.F64):
            number = python_api.float_as_double(f, object)
            with f.if_(f.fcmp("oeq", number, f.float(-1.0, F64))):
                attempt.leave_if(f.ne(python_api.error_occurred(f), 0))
            _pack_real(f, opcode, number, slot, attempt)
    python_api.clear_error(f)
    return f.int(ASK_PYTHON)


def _pack_real(f: Flow, opcode: Val, number: Val, slot: Val, attempt: Block) -> None:
    """A floating-point number, rounded to the slot's format. What overflows in half precision, and a NaN in
    bfloat16, Python looks at."""
    single = f.convert("fptrunc", number, F32)
    bits = f.convert("bitcast", single, I32)
    with f.switch(opcode) as case:
        with case(Slot.F16):
            f.store(f.int(0, I64), slot)
            attempt.leave_if(f.ne(python_api.float_pack_half(f, number, slot, _LITTLE_ENDIAN), 0))
            f.return_(DONE)
        with case(Slot.BF16):
            attempt.leave_if(f.fcmp("uno", single, single))
            odd = f.and_(f.lshr(bits, 16), 1)
            rounded = f.add(bits, f.add(odd, 0x7FFF))
            f.store(f.zext(f.lshr(rounded, 16)), slot)
            f.return_(DONE)
        with case(Slot.F32):
            f.store(f.zext(bits), slot)
            f.return_(DONE)
    f.store(f.convert("bitcast", number, I64), slot)
    f.return_(DONE)

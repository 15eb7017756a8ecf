"""A handler for SIGSEGV and SIGBUS that says which kernel died, and of which argument.

Every loaded kernel stands in a table with the addresses of its code. A fault inside a kernel writes a message
to stderr; then, as after any other fault, the handler that was there before has its turn (that of Python's
`faulthandler`, or the end of the process). Nothing is allocated and no lock is taken on the way.
"""

from __future__ import annotations

import platform
import sys

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.globals import zeroed
from ...compiler.llvm.routine import call_pointer, routine
from ...compiler.llvm.struct import Fields, Struct
from ...compiler.llvm.types import I8, I32, I64, PTR, VOID, Val, array
from ...compiler.targets.host import of_machine
from .structures import FUNCTION, KERNEL, STATE
from .system import (
    ACTION,
    FIRST_HANDLER,
    SA_ONSTACK,
    SA_SIGINFO,
    SIGBUS,
    SIGSEGV,
    STANDARD_ERROR,
    sigaction,
    snprintf,
    write,
)

FAULTS = (SIGBUS, SIGSEGV)

_ISA = of_machine(platform.machine())
_PROGRAM_COUNTER = 0 if _ISA is None else _ISA.program_counter

_CONTEXT = Struct(
    "ucontext",
    "The state of the thread that a signal met.",
    before=array(I8, _PROGRAM_COUNTER),
    program_counter=I64,
)

_INFO = Struct(
    "siginfo", "What Linux says of a fault.", signal=I32, error=I32, reason=I32, padding=I32, address=I64
)

_NO_ADDRESS = 128
"""The reason (SI_KERNEL) with which x86-64 tells no address."""

_ADVICE = (
    "  Run with ANYCHIP_SANITIZE=1 to have every access checked: an error then names line and element.\n"
)
_MESSAGE = (
    "\nanychip: kernel %s accessed address %p, which it may not; nearest of its arguments: %s (%p, %ld bytes "
    f"away)\n{_ADVICE}"
)
_WITHOUT_ARGUMENT = f"\nanychip: kernel %s accessed address %p, which it may not\n{_ADVICE}"
_WITHOUT_ADDRESS = f"\nanychip: kernel %s accessed an address that no memory can have\n{_ADVICE}"
_MESSAGE_BYTES = 1024

_SIGNALS = 32

_STATE = zeroed("anychip.fault_state", PTR)
_PREVIOUS = zeroed("anychip.previous_fault", array(ACTION.type, _SIGNALS), align=8)
"""What was done before at each signal."""


def is_supported() -> bool:
    """Whether the layout of a signal's context is known here."""
    return sys.platform == "linux" and _PROGRAM_COUNTER > 0


@routine("anychip.on_fault", linkage="", signal=I32, info=PTR, context=PTR)
def _on_fault(f: Flow, signal: Val, info: Val, context: Val) -> None:
    """The handler: the message, if a kernel is at fault, then the handler before."""
    counter = _CONTEXT.at(f, context).load("program_counter")
    kernel = _kernel_around(f, counter)
    with f.if_(f.ne(kernel, 0)):
        _explain(f, kernel, info)
    previous = _previous(f, signal)
    handler = previous.load("handler")
    with f.if_(f.ult(f.convert("ptrtoint", handler, I64), FIRST_HANDLER)):
        sigaction(f, signal, previous.pointer, 0)
        f.return_()
    call_pointer(f, handler, VOID, [signal, info, context])


def _previous(f: Flow, signal: Val) -> Fields:
    """What was done before at a signal."""
    return ACTION.item(f, _PREVIOUS.address(f), f.zext(signal))


@routine("anychip.kernel_around", PTR, counter=I64)
def _kernel_around(f: Flow, counter: Val) -> Val:
    """The loaded kernel whose code an address lies in, or null."""
    kernels = STATE.at(f, f.load(PTR, _STATE.address(f))).load("kernels")
    with f.forever(kernels) as turn:
        kernel = KERNEL.at(f, turn.carried[0])
        turn.leave_if(f.eq(kernel.pointer, 0))
        inside = f.and_(f.uge(counter, kernel.load("first")), f.ult(counter, kernel.load("last")))
        turn.leave_if(inside)
        turn.carry(kernel.load("next"))
    return turn.carried[0]


@routine("anychip.explain_fault", kernel=PTR, info=PTR)
def _explain(f: Flow, kernel_at: Val, info_at: Val) -> None:
    """Write the message."""
    kernel, info = KERNEL.at(f, kernel_at), _INFO.at(f, info_at)
    name, address = kernel.load("name"), info.load("address")
    buffer = f.alloca(array(I8, _MESSAGE_BYTES))

    def say(message: str, *values: Val) -> None:
        format = f.module.string(message.encode())
        length = f.sext(snprintf(f, buffer, _MESSAGE_BYTES, format, name, *values))
        write(f, STANDARD_ERROR, buffer, f.umin(length, _MESSAGE_BYTES - 1))
        f.return_()

    with f.if_(f.eq(info.load("reason"), _NO_ADDRESS)):
        say(_WITHOUT_ADDRESS)
    slots = FUNCTION.at(f, kernel.load("record")).load("slots")
    with f.if_(f.ne(slots, 0)):
        nearest = _nearest_argument(f, kernel, slots, address)
        with f.if_(f.sge(nearest, 0)):
            pointer = _pointer(f, kernel, slots, nearest)
            argument = f.load(PTR, f.element(PTR, kernel.load("names"), nearest))
            say(_MESSAGE, address, argument, pointer, f.sub(address, pointer))
    say(_WITHOUT_ARGUMENT, address)


def _nearest_argument(f: Flow, kernel: Fields, slots: Val, address: Val) -> Val:
    """The number of the pointer argument that lies nearest to an address, or -1 if there is none."""
    furthest = f.int(-1, I64)
    with f.counted(kernel.load("pointers"), carried=[furthest, f.int(-1, I64)]) as turn:
        least, nearest = turn.carried
        pointer = _pointer(f, kernel, slots, turn.index)
        distance = f.umin(f.sub(address, pointer), f.sub(pointer, address))
        closer = f.ult(distance, least)
        turn.carry(f.select(closer, distance, least), f.select(closer, turn.index, nearest))
    return turn.results[1]


def _pointer(f: Flow, kernel: Fields, slots: Val, argument: Val) -> Val:
    """What the pointer argument with a number is in the launch that runs."""
    slot = f.load(I64, f.element(I64, kernel.load("numbers"), argument))
    return f.load(I64, f.element(I64, slots, slot))


@routine("anychip.watch_faults", linkage="", state=PTR, signal=I32)
def watch_faults(f: Flow, state: Val, signal: Val) -> None:
    """Put the handler before the one that there is."""
    f.store(state, _STATE.address(f))
    previous, action = _previous(f, signal), ACTION.local(f, 8)
    sigaction(f, signal, 0, previous.pointer)
    f.copy_memory(action.pointer, previous.pointer, ACTION.size)
    flags = f.or_(previous.load("flags"), SA_SIGINFO | SA_ONSTACK)
    action.store_all(handler=_on_fault.address(f), flags=flags)
    sigaction(f, signal, action.pointer, 0)

"""Functions of LLVM IR that are written as functions of Python.

    @routine("anychip.lock", word=PTR)
    def lock(f: Flow, word: Val) -> None:
        with f.forever() as spin:
            spin.leave_if(f.eq(f.atomic_exchange(word, f.int(1, I64), Ordering.ACQUIRE), 0))
            sched_yield(f)

A `Routine` is called like the Python function that it is made from: `lock(f, word)` inside of another routine
writes the call, and has the module hold the routine. So a module is made from its entry points alone
(`Routine.define`). What stands elsewhere is an `External`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .flow import Flow
from .module import LLModule
from .scalar import Operand
from .types import I32, PTR, VOID, LLType, Val

_PLAIN_NAME = re.compile(r"[A-Za-z$._-][A-Za-z0-9$._-]*")


@dataclass(frozen=True, slots=True)
class Passed:
    """A type of a parameter or a result, and how the ABI passes it, e.g. with its sign in the rest of a
    register."""

    type: LLType
    attribute: str


C_INT = Passed(I32, "signext")
"""An `int` of C as every ABI passes it."""

Parameter = LLType | Passed


def symbol(name: str) -> str:
    """The reference to a function or global, e.g. `@anychip.run`."""
    return f"@{name}" if _PLAIN_NAME.fullmatch(name) else f'@"{name}"'


class Callee:
    """What functions of this module and of others have in common: name, parameters, result."""

    def __init__(self, name: str, result: Parameter, parameters: Sequence[Parameter]):
        self.name = name
        self.result = _type_of(result)
        self._parameters = tuple(parameters)
        self._result = result

    def require(self, module: LLModule) -> None:
        """Have `module` hold the function, or know it."""
        raise NotImplementedError

    def address(self, f: Flow) -> Val:
        """The function's address."""
        self.require(f.module)
        return Val(symbol(self.name), PTR)

    def __call__(self, f: Flow, *arguments: Operand) -> Val:
        """Write a call; the result, if there is one."""
        self.require(f.module)
        count = len(self._parameters)
        assert len(arguments) == count, f"{self.name} takes {count} arguments, not {len(arguments)}"
        return self._call(f, str(self.result), self._parameters, arguments)

    def _call(self, f: Flow, type: str, parameters: Sequence[Parameter], arguments: Sequence[Operand]) -> Val:
        return emit_call(f, self.result, f"{type} {symbol(self.name)}({passed(f, parameters, arguments)})")


class External(Callee):
    """A function of the C library, of Python, or of another module. `variadic`: it takes more arguments."""

    def __init__(self, name: str, result: Parameter = VOID, *parameters: Parameter, variadic: bool = False):
        super().__init__(name, result, parameters)
        self.variadic = variadic

    def require(self, module: LLModule) -> None:
        """Declare the function in `module`, unless it is there."""
        module.declarations.setdefault(
            f"@{self.name}", f"declare {_returned(self._result)} {symbol(self.name)}({self._types()})"
        )

    def __call__(self, f: Flow, *arguments: Operand) -> Val:
        """Write a call. Arguments beyond the named ones are values, which say their own types."""
        if not self.variadic:
            return super().__call__(f, *arguments)
        self.require(f.module)
        others = [value.type for value in arguments[len(self._parameters) :] if isinstance(value, Val)]
        type = f"{self.result} ({self._types()})"
        return self._call(f, type, [*self._parameters, *others], arguments)

    def _types(self) -> str:
        return ", ".join([*map(_text, self._parameters), *(["..."] if self.variadic else [])])


class Routine(Callee):
    """A function of the module, written by `write(f, *parameters)`."""

    def __init__(
        self,
        name: str,
        result: Parameter,
        parameters: dict[str, Parameter],
        write: Callable[..., Operand | None],
        linkage: str,
        attributes: str,
    ):
        super().__init__(name, result, tuple(parameters.values()))
        self._names = tuple(parameters)
        self._write = write
        self._linkage = linkage
        self._attributes = attributes
        self.__doc__ = write.__doc__

    def require(self, module: LLModule) -> None:
        """Define the function in `module`, unless it is there."""
        self.define(module)

    def define(self, module: LLModule) -> None:
        """Add the function, and all that it calls, to `module`, unless they are there."""
        if self.name in module.functions:
            return
        module.functions[self.name] = ""
        f = Flow(module, self.result)
        values = [Val(f"%{name}", _type_of(type)) for name, type in zip(self._names, self._parameters)]
        returned = self._write(f, *values)
        if returned is not None or not f.terminated:
            f.return_(returned)
        parameters = ", ".join(f"{_text(p)} %{name}" for name, p in zip(self._names, self._parameters))
        head = ("define", self._linkage, _returned(self._result), f"{symbol(self.name)}({parameters})")
        module.functions[self.name] = f.text(" ".join(filter(None, head)), self._attributes)


Definition = Callable[[Callable[..., Operand | None]], Routine]
"""A decorator that makes a routine."""


def routine(
    name: str,
    result: Parameter = VOID,
    /,
    *,
    linkage: str = "internal",
    attributes: str = "",
    **parameters: Parameter,
) -> Definition:
    """Make a `Routine` of a Python function that writes its body; what that returns, the routine returns.

    `parameters` are names and types in order. `linkage` "" makes the function visible from outside;
    `attributes` are LLVM's ("alwaysinline", "nounwind", ...).
    """

    def make(write: Callable[..., Operand | None]) -> Routine:
        return Routine(name, result, parameters, write, linkage, attributes)

    return make


def call_pointer(
    f: Flow, function: Val, result: LLType, arguments: Sequence[Val], types: Sequence[Parameter] = ()
) -> Val:
    """Call the function at an address. `types` say how arguments are passed where that is not plain."""
    text = f"{result} {function.ref}({passed(f, types or [a.type for a in arguments], arguments)})"
    return emit_call(f, result, text)


def emit_call(f: Flow, result: LLType, text: str) -> Val:
    """Append `call text`."""
    if result == VOID:
        f.effect(f"call {text}")
        return Val("poison", VOID)
    return f.raw(result, f"call {text}")


def passed(f: Flow, parameters: Sequence[Parameter], arguments: Sequence[Operand]) -> str:
    """Arguments as a call has them."""
    pairs = zip(parameters, arguments, strict=True)
    return ", ".join(f"{_text(p)} {f.constant(a, _type_of(p)).ref}" for p, a in pairs)


def _type_of(parameter: Parameter) -> LLType:
    return parameter.type if isinstance(parameter, Passed) else parameter


def _text(parameter: Parameter) -> str:
    return f"{parameter.type} {parameter.attribute}" if isinstance(parameter, Passed) else str(parameter)


def _returned(result: Parameter) -> str:
    return f"{result.attribute} {result.type}" if isinstance(result, Passed) else str(result)

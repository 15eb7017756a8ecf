"""Errors of the compiler. Each says what, with which value, where in the user's source, and
what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AnychipError

if TYPE_CHECKING:
    from .ir.core import Location, Op


class CompileError(AnychipError):
    """A kernel could not be compiled. `location` is the user's source line, when it is known."""

    def __init__(self, message: str, location: Location | None = None, hint: str = ""):
        self.location = location
        place = f"{location}: " if location is not None and location.line else ""
        super().__init__(f"{place}{message}" + (f"\n  {hint}" if hint else ""))


class ParseError(CompileError):
    """The text is not TTIR that this version understands."""


class VerifyError(CompileError):
    """The tile IR breaks a rule of its operation."""


class UnsupportedOperation(CompileError):
    """The operation exists, but cannot be lowered for this target."""

    def __init__(self, op: Op, reason: str, hint: str = ""):
        self.op_name = op.name
        super().__init__(f"{op.name}: {reason}", op.location, hint)


class CodegenError(CompileError):
    """LLVM rejected the code made for a kernel: a defect of Anychip, please report it."""

"""Runs routines of LLVM IR on this machine."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from anychip.compiler import targets
from anychip.compiler.llvm.module import LLModule
from anychip.compiler.llvm.routine import Routine
from anychip.compiler.targets import machine
from anychip.runtime.loader import load


def text_of(*entries: Routine) -> str:
    """The module of some routines."""
    module = LLModule()
    for entry in entries:
        entry.define(module)
    return str(module)


def compiled(entry: Routine, result: Any, *arguments: Any) -> Callable[..., Any]:
    """The routine as a function of Python with the given `ctypes` types. It is not internal to its module."""
    code = load(machine.emit_object(text_of(entry), targets.host()), (entry.name,), {})
    function = ctypes.CFUNCTYPE(result, *arguments)(code[entry.name])

    def call(*values: Any) -> Any:
        assert code
        return function(*values)

    return call

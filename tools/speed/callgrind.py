"""Valgrind's callgrind, asked from within: which calls of a program are counted, and how many instructions
they took.

Flows in: calls, in a process under callgrind. Flows out: a file a count, and what stands in these files.
A client request is a sequence of instructions that do nothing on a processor and that Valgrind, which
translates them, takes for a question (Valgrind's manual, "The client request mechanism"; the numbers are
those of its headers `valgrind.h` and `callgrind.h`). Outside of Valgrind a request answers 0, and nothing is
counted.
"""

from __future__ import annotations

import ctypes
import re
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import repeat, starmap
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm

from anychip.compiler.targets import host, machine
from anychip.errors import AnychipError
from anychip.runtime.loader import load

PROGRAM = "valgrind"
OPTIONS = ("-q", "--tool=callgrind", "--instr-atstart=no")
"""Nothing is counted, nor instrumented, until a request says so."""

_WARM_UP = 20
_OF_CALLGRIND = ord("C") << 24 | ord("T") << 16


class Request(IntEnum):
    """What a program asks of Valgrind."""

    DEPTH = 0x1001
    ZERO = _OF_CALLGRIND + 1
    DUMP = _OF_CALLGRIND + 3
    START = _OF_CALLGRIND + 4


_REQUEST = """
define i64 @request(i64 %number, i64 %argument) {
  %words = alloca [6 x i64]
  store [6 x i64] zeroinitializer, ptr %words
  store i64 %number, ptr %words
  %second = getelementptr i64, ptr %words, i64 1
  store i64 %argument, ptr %second
  %answer = call i64 asm sideeffect
    "rolq $$3, %rdi\\0Arolq $$13, %rdi\\0Arolq $$61, %rdi\\0Arolq $$51, %rdi\\0Axchgq %rbx, %rbx",
    "={rdx},{rax},0,~{cc},~{memory}"(ptr %words, i64 0)
  ret i64 %answer
}
"""
"""Four rotations that add up to two whole turns, and an exchange of a register with itself: rax points to the
request's number and five arguments, rdx holds the answer."""


class UnreadableCount(AnychipError, ValueError):
    """A file of callgrind's that is not what this module reads."""


class Counter:
    """Counts calls of this process."""

    def __init__(self) -> None:
        machine.data_layout(host())
        llvm.initialize_native_asmparser()
        self._code = load(machine.emit_object(_REQUEST, host()), ["request"])
        self._request = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p)(
            self._code["request"]
        )

    @property
    def is_counting(self) -> bool:
        """Whether this process runs under Valgrind."""
        return self._request(Request.DEPTH, None) > 0

    def start(self) -> None:
        """Begin to instrument. This is done once, when a program has imported what it needs: Valgrind throws
        all of its translations away, and makes them anew within seconds."""
        self._request(Request.START, None)
        for _ in range(_WARM_UP):
            self._counted(_nothing, _WARM_UP)

    def count(self, name: str, call: Callable[[], Any], calls: int = 1) -> None:
        """Have the instructions of so many calls, one after the other, written into a file of this `name`.
        What stands there for no call is the requests' own share of every count. One call is made before:
        what was counted last may have emptied a cache of Python's or PyTorch's."""
        call()
        self._counted(call, calls)
        self._request(Request.DUMP, name.encode())

    def _counted(self, call: Callable[[], Any], calls: int) -> None:
        made = starmap(call, repeat((), calls))
        self._request(Request.ZERO, None)
        _exhaust(made)


_exhaust = deque[Any](maxlen=0).extend
"""Goes through an iterator in C: Python's own loop is slower for the first calls of each function."""


def _nothing() -> None:
    """Is called until Python has specialised the code around it."""


def parsed(text: str) -> tuple[str, int] | None:
    """The name and the instructions of a file of callgrind's, None for the file that no request asked for,
    which it writes when the process ends. Raises UnreadableCount for other text, or other events."""
    events = re.search(r"^events: (.*)$", text, re.MULTILINE)
    total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    trigger = re.search(r"^desc: Trigger: (.*)$", text, re.MULTILINE)
    if events is None or total is None or trigger is None:
        raise UnreadableCount(f"not a file of callgrind's: it begins with {text[:60]!r}")
    if events[1].split() != ["Ir"]:
        raise UnreadableCount(f"callgrind counted {events[1]}, not instructions (Ir) alone")
    kind, _, name = trigger[1].partition("Client Request: ")
    return None if kind else (name.strip(), int(total[1]))


def read(folder: Path) -> dict[str, int]:
    """Instructions by name, of all files `*.callgrind*` in a folder, in the order of the counts."""

    def number(file: Path) -> int:
        return int(file.suffix[1:]) if file.suffix[1:].isdigit() else 0

    files = sorted(folder.glob("*.callgrind*"), key=number)
    found = (parsed(file.read_text(encoding="utf-8", errors="replace")) for file in files)
    return dict(row for row in found if row is not None)

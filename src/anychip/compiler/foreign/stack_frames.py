"""How much stack each function takes, as LLVM says when it lays the frames out.

LLVM warns on standard error of frames larger than the attribute `warn-stack-size` allows. Every function
is given a limit of 0 (`with_reports`), and the warnings are read back (`listen`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2
_DEFINITION = re.compile(r"^(define [^\n]*?\))([^()\n]*)\{$", re.MULTILINE)
_WARNING = re.compile(r"stack frame size \((\d+)\) exceeds limit \(\d+\) in function '([^']+)'")


def with_reports(llvm_ir: str) -> str:
    """`llvm_ir` with the attribute on every function that it defines."""
    return _DEFINITION.sub(r'\1 "warn-stack-size"="0"\2{', llvm_ir)


@contextmanager
def listen() -> Iterator[dict[str, int]]:
    """Bytes of each function's frame, by symbol, complete when the context closes.

    Standard error must be a file that can be read back, as it is in the worker process.
    """
    frames: dict[str, int] = {}
    sys.stderr.flush()
    start = os.lseek(_STANDARD_ERROR, 0, os.SEEK_CUR)
    yield frames
    end = os.lseek(_STANDARD_ERROR, 0, os.SEEK_CUR)
    for size, function in _WARNING.findall(
        os.pread(_STANDARD_ERROR, end - start, start).decode("utf-8", "replace")
    ):
        frames[function] = max(frames.get(function, 0), int(size))

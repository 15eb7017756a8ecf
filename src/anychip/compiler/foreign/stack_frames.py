"""How much stack each function takes, as LLVM says when it lays the frames out.

LLVM warns on standard error of frames larger than the attribute `warn-stack-size` allows. Every function
is given a limit of 0 (`with_reports`), and the warnings are read instead of shown (`listen`).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_DEFINITION = re.compile(r"^(define [^\n]*?\))([^()\n]*)\{$", re.MULTILINE)
_WARNING = re.compile(r"stack frame size \((\d+)\) exceeds limit \(\d+\) in function '([^']+)'")


def with_reports(llvm_ir: str) -> str:
    """`llvm_ir` with the attribute on every function that it defines."""
    return _DEFINITION.sub(r'\1 "warn-stack-size"="0"\2{', llvm_ir)


@contextmanager
def listen() -> Iterator[dict[str, int]]:
    """Bytes of each function's frame, by symbol, complete when the context closes. Other messages on
    standard error are passed on."""
    frames: dict[str, int] = {}
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield frames
        finally:
            os.dup2(own, 2)
            os.close(own)
            messages.seek(0)
            for line in messages.read().decode(errors="replace").splitlines():
                if found := _WARNING.search(line):
                    frames[found[2]] = max(frames.get(found[2], 0), int(found[1]))
                else:
                    sys.stderr.write(line + "\n")

"""The source lines of kernels, found by their indentation while the library is imported: Triton asks Python's
`inspect` for them, which reads each function's tokens, a third of the time that the import takes. Flows in:
functions of files. Flows out: what `inspect.getsourcelines` gives."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, SimpleNamespace
from typing import Any

from triton.runtime import jit


def lines_of(function: Callable[..., Any]) -> tuple[list[str], int]:
    """The lines of a function, decorators included, and the number of the first one."""
    code = getattr(function, "__code__", None)
    lines = linecache.getlines(code.co_filename) if isinstance(code, CodeType) else []
    if not isinstance(code, CodeType) or not lines or hasattr(function, "__wrapped__"):
        return inspect.getsourcelines(function)
    first = code.co_firstlineno
    indentation = _indentation(lines[first - 1])
    end = _last_line(code)
    for number in range(end, len(lines)):
        line = lines[number]
        if line.strip():
            if _indentation(line) <= indentation:
                break
            end = number + 1
    return lines[first - 1 : end], first


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _last_line(code: CodeType) -> int:
    """The last line at which code begins, that of functions inside included."""
    own = max(line for _, _, line in code.co_lines() if line is not None)
    inner = (_last_line(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return max(own, *inner, code.co_firstlineno)


@contextmanager
def quickly() -> Iterator[None]:
    """Triton finds the source of the functions that are made in the block by their indentation."""
    if getattr(jit, "inspect", None) is not inspect:
        yield
        return
    own: Any = SimpleNamespace(**vars(inspect))
    own.getsourcelines = lines_of
    setattr(jit, "inspect", own)  # noqa: B010 (its type is exact)
    try:
        yield
    finally:
        setattr(jit, "inspect", inspect)  # noqa: B010

"""Uses of CUDA that a running program makes, for what reading its files missed: names that are computed,
calls in libraries, settings.

Flows in: a program, and the lines that are known already. Flows out: each place that used CUDA, what it used
and how often, also to the log `anychip.migrate.watch`. Calls are only noted: they do, and raise, what they
did.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..packages import require

log = logging.getLogger(__name__)

Line = tuple[str, int]
"""A file by its whole path, and a line of it."""


@dataclass(frozen=True, slots=True)
class Use:
    """A place that used CUDA. `what` is a function of PyTorch's, with the device where it was given one."""

    file: str
    line: int
    what: str


@dataclass(slots=True)
class Watched:
    """What a program was seen to use. `known` lines are left out."""

    known: Collection[Line] = ()
    uses: Counter[Use] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str) -> None:
        """Count a use by the innermost caller that is not PyTorch's or ours."""
        place = _caller()
        if place is None or place in self.known:
            return
        use = Use(*place, what)
        with self._lock:
            self.uses[use] += 1
            first = self.uses[use] == 1
        if first:
            log.info("%s:%d: %s", use.file, use.line, what)


@contextlib.contextmanager
def watching(known: Collection[Line] = ()) -> Iterator[Watched]:
    """Note uses of CUDA in the block: functions of torch.cuda, `.cuda()` of tensors and modules, and calls of
    PyTorch's that a CUDA device is given to. Calls of this thread are seen with their devices, those of other
    threads by the functions of torch.cuda only. Raises MissingPackage without PyTorch."""
    require("anychip migrate --run", ("torch",))
    import torch
    from torch.overrides import TorchFunctionMode

    seen = Watched(known)

    class Devices(TorchFunctionMode):
        """Notes calls that are given a CUDA device."""

        def __torch_function__(
            self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            given = kwargs or {}
            for value in (*args, *given.values()):
                if isinstance(value, torch.device | str) and str(value).partition(":")[0] == "cuda":
                    seen.note(f'{getattr(func, "__name__", func)}(..., "{value}")')
            return func(*args, **given)

    with contextlib.ExitStack() as stack:
        for owner, prefix, name in _functions(torch):
            stack.enter_context(_noted(owner, name, f"{prefix}.{name}", seen))
        stack.enter_context(Devices())
        yield seen


def _functions(torch: Any) -> Iterator[tuple[Any, str, str]]:
    """What is replaced: owner, how it is shown, name."""
    for name in sorted(vars(torch.cuda)):
        value = vars(torch.cuda)[name]
        ours = getattr(value, "__module__", None) or ""
        if not name.startswith("_") and inspect.isfunction(value) and ours.startswith("torch.cuda"):
            yield torch.cuda, "torch.cuda", name
    yield torch.Tensor, "Tensor", "cuda"
    yield torch.nn.Module, "Module", "cuda"


@contextlib.contextmanager
def _noted(owner: Any, name: str, what: str, seen: Watched) -> Iterator[None]:
    """A function that notes each call before it is made, in the place of another."""
    original = getattr(owner, name)
    inherited = name not in vars(owner)

    @functools.wraps(original)
    def noting(*args: Any, **kwargs: Any) -> Any:
        seen.note(what)
        return original(*args, **kwargs)

    setattr(owner, name, noting)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def _caller() -> Line | None:
    """The innermost frame outside PyTorch, Python's own modules and this file; None if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        file = _program_file(frame.f_code.co_filename)
        if file is not None:
            return file, frame.f_lineno
        frame = frame.f_back
    return None


@functools.cache
def _program_file(file: str) -> str | None:
    """The whole path of a file; None for what belongs to PyTorch, Python's standard library or this room."""
    path = Path(file).resolve()
    if file.startswith("<") or path == Path(__file__).resolve():
        return None
    roots = [Path(inspect.__file__).resolve().parent]
    torch = sys.modules.get("torch")
    if torch is not None and torch.__file__:
        roots.append(Path(torch.__file__).resolve().parent)
    for root in roots:
        if path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts:
            return None
    return str(path)

"""Which schedule a kernel gets that is about to be compiled: what the tuning database holds for it, else
what is shipped for the level of instruction sets, else nothing, and the scheduler's rules decide.

Flows in: a kernel with the types and constants that it is compiled for. Flows out: the text of its choices,
in the options of the compilation and so in the key of Triton's cache. `install` wraps the one method of
Triton's `JITFunction` in which a kernel is compiled: a launch of what is compiled already costs nothing more.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..compiler.schedule.choices import UnknownChoice, of
from ..errors import AnychipError
from ..measurements import chip, defaults
from ..measurements.database import FOLDER, Database
from ..measurements.entry import KERNEL, SCHEDULE
from ..measurements.size_class import parameter
from ..runtime import native
from ..runtime.cache import cache_root
from ..signatures import is_known
from .options import KernelOptions

_log = logging.getLogger(__name__)

_searching = False
_asking = False


class NotCompiled(AnychipError):
    """A kernel that would have to be compiled, where only compiled ones may run: `source` is what Triton
    would compile, for which `target`, and with which `options`."""

    def __init__(self, source: Any, target: Any, options: KernelOptions):
        super().__init__(f"{source.name} is not compiled")
        self.source, self.target, self.options = source, target, options


@contextmanager
def by_rules(compile: bool = True) -> Iterator[None]:
    """Kernels that are compiled in the block get the choices that their launch names, and no others. Without
    `compile`, NotCompiled is raised instead."""
    global _searching, _asking
    before, _searching, _asking = (_searching, _asking), True, not compile
    try:
        yield
    finally:
        _searching, _asking = before


def source(kernel: Any) -> str:
    """The digest of a kernel's source and of all that it depends on."""
    return hashlib.sha256(kernel.cache_key.encode()).hexdigest()[:16]


def kind(kernel: Any, signature: Mapping[str, Any], constants: Mapping[Any, Any]) -> str:
    """The class of compilations that one choice is for: types of the parameters, and constants, large
    integers by their class of sizes. `constants` are by name, or by Triton's path of numbers."""
    words = []
    for number, (name, type) in enumerate(signature.items()):
        value = constants.get(name, constants.get((number,), type))
        words.append(f"{name}:{type}" if type != "constexpr" else f"{name}={_constant(value)}")
    return " ".join(words)


def chosen(kernel: Any, signature: Mapping[str, Any], constants: Mapping[Any, Any]) -> str:
    """The choices for a compilation as text; "" where the rules decide."""
    if _searching:
        return ""
    database, level = _known(threads(), cache_root() / FOLDER)
    subject, code = kernel.__name__, source(kernel)
    class_ = kind(kernel, signature, constants)
    entry = database.find(SCHEDULE, subject, class_, code)
    values = entry.values if entry is not None else level.schedule(subject, class_, code)
    try:
        return str(of(values))
    except (UnknownChoice, TypeError) as error:
        _log.warning("tuned schedule of %s is ignored: %s", subject, error)
        return ""


def constants(kernel: Any, class_: str) -> Mapping[str, Any] | None:
    """The constants that a search found best for launches of a class; None where there are none."""
    database, _ = _known(threads(), cache_root() / FOLDER)
    entry = None if _searching else database.find(KERNEL, kernel.__name__, class_, source(kernel))
    return entry.values if entry is not None else None


def threads() -> int:
    """How many threads kernels run on: as many as PyTorch would use, where it is loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else int(native.state().state.thread_limit)


@functools.cache
def _known(count: int, folder: Path) -> tuple[Database, defaults.Defaults]:
    return Database(chip.identify(count).key, folder), defaults.load(chip.level())


def forget() -> None:
    """Read the database anew before the next compilation: a search has written into it."""
    _known.cache_clear()


def _constant(value: Any) -> str:
    if type(value) is int:
        return parameter(value)
    if hasattr(value, "cache_key"):
        return f"{value.__name__}#{source(value)[:8]}"
    return str(value)


COMPILE = ("self", "key", "signature", "device", "constexprs", "options", "attrs", "warmup")
"""Parameters of Triton's own compile step, in every version that is supported."""


def _choosing(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def do_compile(
        self: Any,
        key: Any,
        signature: Any,
        device: Any,
        constexprs: Any,
        options: Any,
        attrs: Any,
        warmup: Any,
    ) -> Any:
        if _asking and isinstance(options, KernelOptions):
            source = self.ASTSource(self, signature, constexprs, attrs)
            raise NotCompiled(source, self.device_caches[device][2], options)
        if isinstance(options, KernelOptions) and not options.anychip_schedule and not options.arch:
            text = chosen(self, signature, constexprs)
            options = replace(options, anychip_schedule=text) if text else options
        return stock(self, key, signature, device, constexprs, options, attrs, warmup)

    return do_compile


@functools.cache
def install() -> None:
    """Have kernels compiled with what was found best for them."""
    from triton.runtime.jit import JITFunction

    if is_known(JITFunction._do_compile, COMPILE):
        JITFunction._do_compile = _choosing(JITFunction._do_compile)

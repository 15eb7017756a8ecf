"""What is watched while a function is captured: ATen calls, allocations, values that Python asks for.

An `Observer` is told; `observe` puts the means in place for a block: a dispatch mode and a function
mode of PyTorch for this thread's own calls, and registrations under a few ATen overloads, which see
the calls inside of operators, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .overrides import Overrides

ALLOCATIONS = ("empty.memory_format", "empty_strided")
"""The ATen overloads through which PyTorch gets memory that it does not write."""

RESIZE = "resize_"
"""The ATen overload that may exchange a tensor's memory for a larger piece."""

HOST_VALUES = "lift_fresh"
"""The ATen overload through which tensors made of Python values come (torch.tensor)."""

HOST_READ = "_local_scalar_dense"
"""The ATen overload that hands an element to Python or C++: item(), bool(), nonzero's size."""

RANDOM_SWITCHES = {"dropout_p": (1.0, 0.0), "training": (True, False), "train": (True, False)}
"""Arguments that say whether an operator draws random numbers: a value with which it does, and the one
with which it does not."""

PYTHON_READS = frozenset({"numpy", "tolist", "__array__", "__dlpack__", "share_memory_"})
"""Methods of a tensor that hand out its memory without an ATen call."""


class Observer(Protocol):
    """Whoever is told. Each method may raise, which ends the call that it was told of."""

    def operator_begins(self, overload: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """The observed code, or a composite operator, calls an ATen operator."""

    def operator_ends(self) -> None:
        """The operator that began last has returned or raised."""

    def allocated(self, tensor: torch.Tensor) -> None:
        """PyTorch allocated memory for a tensor."""

    def resized(self, tensor: torch.Tensor, before: tuple[int, int]) -> None:
        """PyTorch resized a tensor whose memory was `before` (see `memory_key`)."""

    def filled_by_host(self, tensor: torch.Tensor) -> None:
        """A tensor was made of Python values."""

    def read_by_host(self, tensor: torch.Tensor, reader: str) -> None:
        """Python or C++ asks for a tensor's values, through `reader`."""


_observers: list[Observer] = []


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Tell `observer` of what happens in the block. Allocations, resizes and reads of other threads are
    told, too."""
    with ExitStack() as stack:
        stack.enter_context(_announced())
        stack.enter_context(_overrides(observer))
        stack.enter_context(HostReads(observer))
        stack.enter_context(_Operators(observer))
        yield


def memory_key(storage: torch.UntypedStorage) -> tuple[int, int]:
    """What identifies memory while its storage is held: the storage's identity and its address."""
    return storage._cdata, storage.data_ptr()


def is_composite(overload: Any) -> bool:
    """Whether PyTorch defines the overload by others."""
    return overload.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)


def draws_random_numbers(overload: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Whether this call takes numbers from PyTorch's generator. Some overloads do so only if told to."""
    if torch.Tag.nondeterministic_seeded not in overload.tags or is_composite(overload):
        return False
    named = dict(zip((argument.name for argument in overload._schema.arguments), arguments)) | dict(keywords)
    given = {a.name: named.get(a.name, a.default_value) for a in overload._schema.arguments}
    return not any(given.get(name, drawing) == off for name, (drawing, off) in RANDOM_SWITCHES.items())


class _Operators(TorchDispatchMode):
    """Tells the observer which ATen operators the function calls, composite ones and their pieces."""

    def __init__(self, observer: Observer):
        super().__init__()
        self.observer = observer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            self.observer.operator_begins(func, args, kwargs or {})
            if is_composite(func):
                with self:
                    return func.decompose(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))
        finally:
            self.observer.operator_ends()


class HostReader(Protocol):
    """Whoever is told of reads."""

    def read_by_host(self, tensor: torch.Tensor, reader: str) -> None:
        """Python or C++ asks for a tensor's values, through `reader`."""


class HostReads(TorchFunctionMode):
    """Tells the observer of methods that hand out a tensor's memory without an ATen call."""

    def __init__(self, observer: HostReader):
        super().__init__()
        self.observer = observer

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in PYTHON_READS and args and isinstance(args[0], torch.Tensor):
            self.observer.read_by_host(args[0], f"Tensor.{name}")
        return func(*args, **(kwargs or {}))


@functools.cache
def _implementations() -> dict[str, Callable[..., Any]]:
    """Functions for the ATen overloads that allocate, bring Python's values, and read values: they tell
    whoever observes and do what PyTorch does. Made once, because PyTorch never lets a registered
    function go."""
    keyset = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    native = {
        name: torch.library.get_kernel(f"aten::{name}", "CPU") for name in (*ALLOCATIONS, RESIZE, HOST_READ)
    }

    def allocate(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            tensor = native[name].call_boxed(keyset, *arguments, **keywords)
            for observer in _observers:
                observer.allocated(tensor)
            return tensor

        return call

    def resize(tensor: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
        before = memory_key(tensor.untyped_storage())
        native[RESIZE].call_boxed(keyset, tensor, *arguments, **keywords)
        for observer in _observers:
            observer.resized(tensor, before)
        return tensor

    def read(tensor: torch.Tensor) -> Any:
        for observer in _observers:
            observer.read_by_host(tensor, HOST_READ)
        return native[HOST_READ].call_boxed(keyset, tensor)

    def lift(tensor: torch.Tensor) -> torch.Tensor:
        for observer in _observers:
            observer.filled_by_host(tensor)
        return tensor

    allocations = {name: allocate(name) for name in ALLOCATIONS}
    return {**allocations, RESIZE: resize, HOST_READ: read, HOST_VALUES: lift}


@contextmanager
def _overrides(observer: Observer) -> Iterator[None]:
    """Put `_implementations` under PyTorch's overloads: they see the calls inside of operators, too."""
    overrides = Overrides((name, "CPU", function) for name, function in _implementations().items())
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)
        overrides.remove()


@contextmanager
def _announced() -> Iterator[None]:
    """Let `torch.compiler.is_compiling()` say yes: models then leave out shortcuts that look at values."""
    before = torch.compiler._is_compiling_flag
    torch.compiler._is_compiling_flag = True
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag = before

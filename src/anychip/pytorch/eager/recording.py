"""Watches one call of an operator. Flows in: the tensors of the call. Flows out: a `Trace` of what it
launched, for which two calls can be compared, or the first reason for which it cannot be replayed.

A mode of PyTorch's dispatcher sees each operator that the Python path calls. Memory that it allocates is its
own, views change nothing, operators of the library are watched in turn; whatever computes by other means, or
asks for values, is a reason. The call goes through whatever is seen."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...ops.launching import attribution
from ...runtime import function as functions
from ...runtime import launches
from ..kernel_effects import effects_of
from ..layouts import Layout, layout_of, span_of
from ..observation import HostReads, draws_random_numbers, is_composite, memory_key
from ..statistics import Served
from .structures import MOST_OUTPUTS, Container

Functions = Mapping[str, Callable[..., Any]]

FRESH = frozenset(
    {"empty.memory_format", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted"}
)
"""ATen overloads that allocate and write nothing."""

EXPLICIT = ("CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")
"""Dispatch keys under which PyTorch defines operators by others, their derivatives apart."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a pointer points into: an argument's tensor ("input"), memory of the call's own ("own"), both by
    their numbers, or memory that was there before ("constant"), by its storage's address."""

    kind: str
    number: int
    offset: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A result: an argument, or memory of the call's own, as it is allocated or by `view`, a layout that
    begins so many elements behind the memory's first."""

    place: Place
    view: tuple[Layout, int] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One launch: the address of the loaded function's record, its grid, its slots (0 for those that hold
    addresses, or `numbers` of the call by their places in it), and what the addresses point into."""

    function: int
    grid: tuple[int, int, int]
    slots: tuple[int, ...]
    places: tuple[tuple[int, Place], ...]
    numbers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What a call did. `own` are bytes of its own pieces of memory; `leaves` what it returned; `outputs` are
    the layouts in which those pieces are allocated that are among them. Two calls that did the same have
    equal traces: constants are held, so that an address stays that of the same memory."""

    steps: tuple[Step, ...]
    own: tuple[int, ...]
    container: Container
    leaves: tuple[Leaf, ...]
    outputs: tuple[tuple[int, Layout], ...]
    constants: tuple[int, ...]
    kept: tuple[Any, ...] = field(compare=False)
    """Constants' storages and loaded functions, alive as long as the trace."""
    launched: tuple[tuple[Counter[str], str], ...] = field(compare=False)
    """Each launch as it is counted: by which counter beside the one of all launches, and by which name."""
    served: tuple[Served, ...] = field(compare=False)
    """Totals of the overloads that the call went through, each as often as it was served."""
    numbers: int = 0
    """How many numbers of the call are no part of its signature (see `numbers`)."""


@dataclass(eq=False, slots=True)
class _Memory:
    storage: torch.UntypedStorage
    number: int
    """Which one it is of those of its own; -1 for a constant."""


class Recording(TorchDispatchMode):
    """Watches a call with `tensors` among its arguments. `functions` are those registered for overloads, by
    name."""

    def __init__(self, functions: Functions, tensors: Sequence[torch.Tensor]):
        super().__init__()
        self.refusal = ""
        self._functions = functions
        self._tensors = tuple(tensors)
        self._inputs = {memory_key(x.untyped_storage()) for x in tensors}
        self._memories: dict[tuple[int, int], _Memory] = {}
        self._own: list[torch.UntypedStorage] = []
        self._steps: list[Step] = []
        self._loaded: list[Any] = []
        self._launched: list[tuple[Counter[str], str]] = []
        self._served: list[Served] = []
        self._thread = threading.get_ident()

    def run(self, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The call's result."""
        if torch._C._dispatch_tls_is_dispatch_key_excluded(torch._C.DispatchKey.Python):
            self.refuse("PyTorch's modes do not see what this call does")
        before = attribution.recording
        attribution.recording = self
        try:
            with launches.listen(self._heard), HostReads(self), self:
                return function(*arguments, **keywords)
        finally:
            attribution.recording = before

    def refuse(self, reason: str) -> None:
        """Note why the call cannot be replayed; the first reason stays."""
        self.refusal = self.refusal or reason

    # ---- what the call does -----------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        name = func.name().removeprefix("aten::")
        if draws_random_numbers(func, args, keywords):
            self.refuse(f"{name} draws random numbers")
        if name in FRESH:
            made = func(*args, **keywords)
            self._allocated(made)
            return made
        function = self._functions.get(name)
        if function is not None:
            with self:
                return function(*args, **keywords)
        if is_composite(func):
            with self:
                return func.decompose(*args, **keywords)
        explicit = _explicit(func.name())
        if explicit is not None and not func.is_view:
            with self:
                return explicit(*args, **keywords)
        if not func.is_view:
            self.refuse(f"{name} is PyTorch's own kernel")
        return func(*args, **keywords)

    def read_by_host(self, tensor: torch.Tensor, reader: str) -> None:
        """Python asks for a tensor's values."""
        self.refuse(f"{reader} hands values to Python")

    def served(self, totals: Served) -> None:
        """An overload was served, perhaps inside of another."""
        self._served.append(totals)

    def counted(self, counter: Counter[str], name: str) -> None:
        """A launch was counted."""
        self._launched.append((counter, name))

    def _allocated(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self._memories[memory_key(storage)] = _Memory(storage, len(self._own))
        self._own.append(storage)

    def _heard(self, launch: launches.Launch) -> None:
        if threading.get_ident() != self._thread or 0 in launch.grid or self.refusal:
            return
        if launch.origin is None:
            self.refuse(f"kernel {launch.kernel} was not launched through Triton")
            return
        places = []
        slots = list(launch.slots)
        effects = effects_of(launch.origin)
        if effects.hidden:
            self.refuse(f"kernel {launch.kernel} makes addresses of numbers")
        for slot, argument in launch.pointers:
            if not slots[slot]:
                continue
            place = self._place(slots[slot], argument)
            if place is None:
                return
            if slot in effects.written and place.kind == "constant":
                self.refuse(f"kernel {launch.kernel} writes memory that is not the call's")
            slots[slot] = 0
            places.append((slot, place))
        self._loaded.append(functions.at(launch.function))
        self._steps.append(Step(launch.function, launch.grid, tuple(slots), tuple(places)))

    def _place(self, address: int, argument: Any) -> Place | None:
        """What an address points into, by the argument that it came from."""
        while not isinstance(argument, torch.Tensor) and hasattr(argument, "base"):
            argument = argument.base
        if not isinstance(argument, torch.Tensor):
            self.refuse("a kernel was given an address without its tensor")
            return None
        storage = argument.untyped_storage()
        key = memory_key(storage)
        if key in self._inputs:
            for number, x in enumerate(self._tensors):
                begin = x.data_ptr()
                if begin and begin <= address < begin + max(span_of(x), 1):
                    return Place("input", number, address - begin)
            self.refuse("a kernel was given memory behind an argument that is not the argument's")
            return None
        memory = self._memories.setdefault(key, _Memory(storage, -1))
        offset = address - key[1]
        return Place("constant", key[1], offset) if memory.number < 0 else Place("own", memory.number, offset)

    # ---- what it came to --------------------------------------------------------------------------

    def trace(self, result: Any) -> Trace | None:
        """What the call did, or None after a refusal."""
        container = _container(result)
        if container is None:
            self.refuse(f"the result is a {type(result).__name__}")
            return None
        leaves = {Container.SINGLE: lambda: (result,), Container.NOTHING: lambda: ()}.get(
            container, lambda: tuple(result)
        )()
        places = [self._returned(leaf) for leaf in leaves]
        if not self._steps:
            self.refuse("nothing was launched")
        if self.refusal:
            return None
        of_own: dict[int, list[torch.Tensor]] = {}
        for leaf, place in zip(leaves, places):
            if place.kind == "own":
                of_own.setdefault(place.number, []).append(leaf)
        outputs = {number: self._allocation(number, of_own[number]) for number in of_own}
        floating = any(x.is_floating_point() or x.is_complex() for x in self._tensors)
        if not floating and any(layout[2].is_floating_point for layout in outputs.values()):
            self.refuse("the result's type is that which PyTorch has for numbers at present")
        if len(outputs) > MOST_OUTPUTS:
            self.refuse(f"there are more than {MOST_OUTPUTS} results")
        if self.refusal:
            return None
        constants = [memory for memory in self._memories.values() if memory.number < 0]
        return Trace(
            tuple(self._steps),
            tuple(storage.nbytes() for storage in self._own),
            container,
            tuple(_leaf(leaf, place, outputs) for leaf, place in zip(leaves, places)),
            tuple(sorted(outputs.items())),
            tuple(memory.storage.data_ptr() for memory in constants),
            (*(memory.storage for memory in constants), *self._loaded),
            tuple(self._launched),
            tuple(self._served),
        )

    def _returned(self, leaf: Any) -> Place:
        """Where a result is: an argument as it was given, or memory of the call's own."""
        if type(leaf) not in (torch.Tensor, torch.nn.Parameter):
            self.refuse(f"a {type(leaf).__name__} is among the results")
            return Place("input", -1, 0)
        for number, x in enumerate(self._tensors):
            if leaf is x:
                return Place("input", number, 0)
        storage = leaf.untyped_storage()
        memory = self._memories.get(memory_key(storage))
        if memory is None or memory.number < 0:
            self.refuse("a result is in memory that the call has not allocated")
            return Place("input", -1, 0)
        return Place("own", memory.number, leaf.storage_offset() * leaf.element_size())

    def _allocation(self, number: int, leaves: Sequence[torch.Tensor]) -> Layout:
        """How memory is allocated of which these results are parts: as the only one, if that is the whole of
        it, else flat."""
        size, first = self._own[number].nbytes(), leaves[0]
        if len(leaves) == 1 and not first.storage_offset() and span_of(first) == size:
            return layout_of(first)
        if size % first.element_size() or any(leaf.dtype != first.dtype for leaf in leaves):
            self.refuse("results of several types share memory")
        return (size // first.element_size(),), (1,), first.dtype


def _leaf(leaf: torch.Tensor, place: Place, outputs: Mapping[int, Layout]) -> Leaf:
    """A result at a place, where memory is allocated as `outputs` say."""
    own = place.kind == "own"
    if not own or (not place.offset and outputs[place.number] == layout_of(leaf)):
        return Leaf(place)
    return Leaf(place, (layout_of(leaf), int(leaf.storage_offset())))


@functools.cache
def _explicit(name: str) -> Callable[..., Any] | None:
    """PyTorch's definition of an operator by others, where it has no kernel of its own for the CPU."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(name, "CPU"):
        return None
    for key in EXPLICIT:
        if torch._C._dispatch_has_kernel_for_dispatch_key(name, key):
            keyset = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
            return functools.partial(torch.library.get_kernel(name, "CPU").call_boxed, keyset)
    return None


def _container(result: Any) -> Container | None:
    if isinstance(result, torch.Tensor):
        return Container.SINGLE
    if result is None:
        return Container.NOTHING
    return {tuple: Container.TUPLE, list: Container.LIST}.get(type(result))

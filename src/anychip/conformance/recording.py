"""Launches that are made here, to be replayed elsewhere: those of a trial of an operator, or of any block.

The block runs here while each launch is listened to: its kernel's TTIR, its grid and scalars, and the content
of the memory that its pointers are in. Memory that the host changes between launches is taken again. Flows
out: a case for `emulation.replay`, and how to put the chip's results into the places of ours.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..compiler.analysis.arguments import ArgumentEffects, argument_effects
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..emulation.replay import Case, Download, Launch, Upload
from ..evidence.trial import Observation, Trial, observe
from ..runtime import launches

_KERNEL_NAME = re.compile(r"(tt\.func public @)([\w$.]+)")
_effects: dict[str, ArgumentEffects] = {}


class Kernels:
    """The kernels met so far: names that no two share, and their TTIR.

    A name is made of the text, so that it is the same in every run, and Triton's cache knows the kernel.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def name_of(self, text: str) -> str:
        """The name of a TTIR text's kernel; the same for the same text."""
        if text not in self._names:
            found = _KERNEL_NAME.search(text)
            own = re.sub(r"\W", "_", found[2]) if found else "kernel"
            name = f"{own}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            self._names[text] = name
            self.texts[name] = _KERNEL_NAME.sub(rf"\g<1>{name}", text, count=1)
        return self._names[text]


@dataclass(slots=True)
class Launched:
    """The launches of a block. `problem` says why they cannot be replayed."""

    case: Case = field(default_factory=Case)
    places: dict[int, int] = field(default_factory=dict)
    """Address of a storage -> its memory in the case."""
    problem: str = ""
    mixed: bool = False
    """Some memory is used as elements of different sizes, which a chip of another byte order holds
    differently."""
    held: list[torch.UntypedStorage] = field(default_factory=list)
    """Storages, so that no other gets their addresses."""

    def replaced(self, value: Any, memories: Mapping[int, bytes]) -> Any:
        """A result with the chip's memory in place of ours, if it lies in memory that the chip gave back."""
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            return value
        memory = self.places.get(value.untyped_storage().data_ptr())
        if memory is None or memory not in memories:
            return value
        storage = torch.UntypedStorage(len(memories[memory]))
        ctypes.memmove(storage.data_ptr(), memories[memory], len(memories[memory]))
        made = torch.empty(0, dtype=value.dtype)
        return made.set_(storage, value.storage_offset(), value.shape, value.stride())  # type: ignore[call-overload]


@dataclass(slots=True)
class Recording(Launched):
    """A trial, what it did here, and its launches."""

    trial: Trial = field(kw_only=True)
    observed: Observation = field(default_factory=lambda: Observation((), None, {}))

    def with_results(self, memories: Mapping[int, bytes]) -> Observation:
        """The observation with the chip's memory in place of ours."""
        results = (tree_map(lambda value: self.replaced(value, memories), x) for x in self.observed.results)
        return self.observed._replace(results=tuple(results))


@dataclass(slots=True)
class _Memory:
    """A storage that a launch used: its number, what it holds as far as the replay knows, whether a launch
    has written it since."""

    storage: torch.UntypedStorage
    number: int
    content: bytes
    element_bytes: int
    written: bool = False


def record(trial: Trial, kernels: Kernels) -> Recording:
    """Run a trial, under the strict policy that must be in force, and record its launches."""
    recording = Recording(trial=trial)
    with recorded(recording, kernels):
        recording.observed = observe(trial)
    return recording


class Recorder:
    """Notes launches in `launched`: it is told of each before it runs, and finishes when they have run."""

    def __init__(self, launched: Launched, kernels: Kernels):
        self.launched, self.kernels = launched, kernels
        self._memories: dict[int, _Memory] = {}

    def note(self, launch: launches.Launch) -> None:
        """A launch is about to run; a listener of `runtime.launches`."""
        if 0 in launch.grid or self.launched.problem:
            return
        try:
            _launched(launch, self.launched, self._memories, self.kernels)
        except _CannotReplay as reason:
            self.launched.problem = str(reason)

    def finish(self) -> None:
        """All launches have run: their memory is wanted back from the chip."""
        _want_results(self.launched, self._memories)


@contextmanager
def recorded(launched: Launched, kernels: Kernels) -> Iterator[None]:
    """Record the launches of the block."""
    recorder = Recorder(launched, kernels)
    with launches.listen(recorder.note):
        yield
    recorder.finish()


class _CannotReplay(Exception):
    """Why a launch cannot be repeated elsewhere."""


def _launched(
    launch: launches.Launch, recording: Launched, memories: dict[int, _Memory], kernels: Kernels
) -> None:
    if launch.origin is None:
        raise _CannotReplay(f"kernel {launch.kernel} has no source")
    text = launch.origin.ttir()
    effects = kernel_effects(text)
    if effects.hidden:
        raise _CannotReplay(f"kernel {launch.kernel} makes addresses of its own")
    slots = [(-1, value) for value in launch.slots]
    for slot, argument in launch.pointers:
        if not launch.slots[slot]:
            continue
        while not isinstance(argument, torch.Tensor) and hasattr(argument, "base"):
            argument = argument.base
        if not isinstance(argument, torch.Tensor):
            raise _CannotReplay(f"kernel {launch.kernel} was given a bare address")
        memory = _up_to_date(argument, recording, memories)
        memory.written |= slot in effects.written
        slots[slot] = (memory.number, launch.slots[slot] - memory.storage.data_ptr())
    recording.case.steps.append(Launch(kernels.name_of(text), launch.grid, tuple(slots)))


def _up_to_date(tensor: torch.Tensor, recording: Launched, memories: dict[int, _Memory]) -> _Memory:
    """The memory of a tensor, with its content in the case."""
    storage = tensor.untyped_storage()
    key = storage.data_ptr()
    content = ctypes.string_at(key, storage.nbytes())
    memory = memories.get(key)
    if memory is not None and memory.storage.nbytes() != storage.nbytes():
        raise _CannotReplay("memory was resized")
    if memory is None:
        memory = memories[key] = _Memory(storage, len(memories), content, tensor.element_size())
        recording.case.steps.append(Upload(memory.number, content, memory.element_bytes))
    elif memory.element_bytes != tensor.element_size():
        memory.element_bytes = 0
    elif not memory.written and memory.content != content:
        recording.case.steps.append(Upload(memory.number, content, memory.element_bytes))
    memory.content, memory.written = content, False
    return memory


def _want_results(recording: Launched, memories: dict[int, _Memory]) -> None:
    """Ask for the memory of the results, and hold it here so that its address stays its own."""
    recording.places = {key: memory.number for key, memory in memories.items()}
    wanted = {memory.number: memory for memory in memories.values()}
    for memory in wanted.values():
        recording.case.steps.append(
            Download(memory.number, memory.storage.nbytes(), max(memory.element_bytes, 1))
        )
    recording.case.steps = [
        Upload(step.memory, step.content, max(wanted[step.memory].element_bytes, 1))
        if isinstance(step, Upload)
        else step
        for step in recording.case.steps
    ]
    recording.held = [memory.storage for memory in memories.values()]
    recording.mixed = any(memory.element_bytes == 0 for memory in memories.values())


def kernel_effects(text: str) -> ArgumentEffects:
    """Which arguments a kernel reads and writes through, by its TTIR."""
    if text not in _effects:
        module = parse(text)
        inline_calls(module)
        _effects[text] = argument_effects(module.kernel)
    return _effects[text]

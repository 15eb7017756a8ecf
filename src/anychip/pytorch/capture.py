"""`capture`: runs a function once and records its kernel launches as a Program.

The function runs under the strict policy, so that whatever computes is a launch of ours. A recorder
listens to the launches of this thread and finds, for each pointer, the memory that it points into:
an input, memory allocated during the capture, or memory that was there before (a constant). What
would make a replay differ from the function is refused: values read by Python, inputs or constants
written, random numbers from PyTorch's generator.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch.utils._pytree import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten

from ..compiler.analysis.arguments import ArgumentEffects
from ..runtime import function as functions
from ..runtime import launches
from ..runtime.program import LaunchList, MemoryBlock, MemoryKind, Pointer, RecordedLaunch
from .errors import CaptureError, FallThroughError
from .interface import (
    Constant,
    InputTensor,
    InputValue,
    InputView,
    Interface,
    Output,
    OutputStorage,
    OutputView,
)
from .kernel_effects import effects_of
from .layouts import copied, layout_of, span_of
from .observation import HOST_READ, draws_random_numbers, memory_key, observe
from .policy import using
from .program import Program, capturing

_one_at_a_time = threading.Lock()


def capture(function: Callable[..., Any], *inputs: Any, **keywords: Any) -> Program:
    """Record `function(*inputs, **keywords)` as a Program.

    The function runs once, on copies of the example tensors, without autograd, under the strict
    policy (which holds for the whole process meanwhile). Tensors among the arguments are the
    Program's inputs; other arguments, and tensors that the function finds elsewhere (weights), are
    part of the Program. Raises CaptureError, naming the operator or kernel, for what a replay could
    not repeat.
    """
    return capture_with_state(function, (), *inputs, **keywords)


def capture_with_state(
    function: Callable[..., Any], state: Sequence[torch.Tensor], /, *inputs: Any, **keywords: Any
) -> Program:
    """As `capture`, of a function that may write the tensors of `state`: memory that existed before and that
    each call of the Program reads and writes where it is, as a cache is.

    The run that is captured writes it as well. Calls that share state must not overlap. A Program with state
    is not exported.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if "out" in keywords:
        raise CaptureError(
            f"{name}: `out` is the argument by which a Program is given its outputs; pass the function's own "
            "by position"
        )
    if not _one_at_a_time.acquire(blocking=False):
        if threading.get_ident() in capturing:
            raise CaptureError(f"{name}: captured inside another capture; call the function itself")
        _one_at_a_time.acquire()
    capturing.add(threading.get_ident())
    try:
        recorder = Recorder(name, function)
        recorder.keep(state)
        return recorder.run(inputs, keywords)
    finally:
        capturing.discard(threading.get_ident())
        _one_at_a_time.release()


class Source(Enum):
    """Where memory comes from."""

    INPUT = "input"
    CAPTURE = "allocated during the capture"
    BEFORE = "allocated before the capture"
    STATE = "allocated before the capture, and written by it"


@dataclass(eq=False, slots=True)
class Memory:
    """A storage that was seen, held so that its address stays its own. `host_filled`: Python values were
    put there; `written`: a recorded launch writes it; `number`: the input's place, the buffer's number."""

    storage: torch.UntypedStorage
    source: Source
    host_filled: bool = False
    written: bool = False
    input: int = -1
    buffer: int = -1

    @property
    def is_constant(self) -> bool:
        """Whether the content is the same at each replay because nothing writes it."""
        return self.source is Source.BEFORE or (self.source is Source.CAPTURE and self.host_filled)

    @property
    def stays_in_place(self) -> bool:
        """Whether a replay finds the memory where the capture found it."""
        return self.is_constant or self.source is Source.STATE

    @property
    def kind(self) -> MemoryKind:
        """What it is in a launch list, unless it is an input or output."""
        if self.source is Source.STATE:
            return MemoryKind.STATE
        return MemoryKind.CONSTANT if self.is_constant else MemoryKind.TEMPORARY


@dataclass(eq=False, slots=True)
class _Place:
    """A pointer argument: its slot, the memory, the byte offset, the bytes that its tensor covers."""

    slot: int
    memory: Memory
    offset: int
    extent: int


@dataclass(eq=False, slots=True)
class _Seen:
    """One launch as it was listened to."""

    launch: launches.Launch
    function: functions.Function
    places: list[_Place]
    operator: str


@dataclass(eq=False, slots=True)
class Recorder:
    """All that one capture learns."""

    name: str
    function: Callable[..., Any]
    thread: int = field(default_factory=threading.get_ident)
    memories: dict[tuple[int, int], Memory] = field(default_factory=dict)
    hollow: dict[int, torch.UntypedStorage] = field(default_factory=dict)
    """Storages without memory that were made during the capture, by identity."""
    seen: list[_Seen] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)
    """The ATen operators that are running, outermost first."""
    inputs: list[InputTensor | InputValue] = field(default_factory=list)
    copies: list[torch.Tensor] = field(default_factory=list)

    # ---- the run ----------------------------------------------------------------------------------

    def keep(self, state: Sequence[torch.Tensor]) -> None:
        """Memory that the function may write."""
        for tensor in state:
            self._require_plain(tensor, "a tensor of its state")
            self._memory(tensor, Source.STATE)

    def run(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Program:
        """Run the function under observation and make the Program."""
        given, input_tree = tree_flatten_with_path((tuple(arguments), dict(keywords)))
        values = [self._input(_argument_name(path), value) for path, value in given]
        leaves_of_call = tree_unflatten(values, input_tree)
        before = [(x.data_ptr(), layout_of(x)) for x in self.copies]
        try:
            with using("strict"), torch.no_grad(), observe(self), launches.listen(self._launched):
                result = self.function(*leaves_of_call[0], **leaves_of_call[1])
        except FallThroughError as error:
            raise CaptureError(
                f"{self.name}: PyTorch itself would compute aten::{error.overload} ({error.reason}), and a "
                "Program holds launches of portable kernels only.\n"
                "  Leave that operator out of the captured function, or add it under anychip/ops."
            ) from error
        tensors = [expected for expected in self.inputs if isinstance(expected, InputTensor)]
        for expected, x, (address, layout) in zip(tensors, self.copies, before):
            if x.data_ptr() != address or layout_of(x) != layout:
                raise CaptureError(
                    f"{self.name}: {expected.name} was changed in place (its shape, strides or memory); "
                    "work on "
                    "a view or a copy of it"
                )
        flat = all(value is leaf for value, (_, leaf) in zip((*arguments, *keywords.values()), given))
        is_flat = flat and len(given) == len(arguments) + len(keywords)
        return self._program(result, input_tree, tuple(keywords), is_flat)

    def _input(self, name: str, value: Any) -> Any:
        """What the function is given for an argument: tensors are copied into memory of their own."""
        if not isinstance(value, torch.Tensor):
            if hasattr(value, "__array__"):
                raise CaptureError(
                    f"{self.name}: {name} is a {type(value).__name__}; pass a tensor (torch.from_numpy "
                    "shares its memory)"
                )
            self.inputs.append(InputValue(name, value))
            return value
        self._require_plain(value, name)
        expected = InputTensor(name, tuple(value.shape), value.stride(), value.dtype)
        self.inputs.append(expected)
        copy = copied(value.detach())
        memory = self._memory(copy, Source.INPUT)
        if memory is not None:
            memory.input = len(self.copies)
        self.copies.append(copy)
        return copy

    def _require_plain(self, value: torch.Tensor, name: str) -> None:
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_conj() or value.is_neg():
            raise CaptureError(
                f"{self.name}: {name} is a {value.layout} tensor on {value.device}"
                f"{' (conjugated or negated lazily)' if value.is_conj() or value.is_neg() else ''}; a "
                "Program "
                "takes and gives plain strided tensors on the CPU"
            )

    # ---- observations -----------------------------------------------------------------------------

    def allocated(self, tensor: torch.Tensor) -> None:
        """PyTorch allocated memory for a tensor."""
        if threading.get_ident() == self.thread:
            storage = tensor.untyped_storage()
            if storage.data_ptr():
                self.memories[memory_key(storage)] = Memory(storage, Source.CAPTURE)
            else:
                self.hollow[storage._cdata] = storage

    def resized(self, tensor: torch.Tensor, before: tuple[int, int]) -> None:
        """PyTorch resized a tensor whose memory was `before`."""
        storage = tensor.untyped_storage()
        key = memory_key(storage)
        if threading.get_ident() != self.thread or key == before:
            return
        previous = self.memories.get(before)
        own = key[0] in self.hollow if previous is None else previous.source is Source.CAPTURE
        self.memories[key] = Memory(storage, Source.CAPTURE if own else Source.BEFORE)

    def filled_by_host(self, tensor: torch.Tensor) -> None:
        """A tensor was made of Python values."""
        if threading.get_ident() == self.thread and tensor.layout == torch.strided:
            memory = self._memory(tensor, Source.CAPTURE)
            if memory is not None and memory.source is Source.CAPTURE:
                memory.host_filled = True

    def read_by_host(self, tensor: torch.Tensor, reader: str) -> None:
        """Python or C++ asks for a tensor's values. Raises unless they are the same at each replay."""
        if threading.get_ident() != self.thread:
            return
        memory = self._memory(tensor, Source.BEFORE)
        if memory is None or memory.is_constant:
            return
        caller = self.operators[0] if self.operators else reader
        if caller.removeprefix("aten::") == HOST_READ:  # PyTorch 2.15 calls it without "aten::item" around it
            caller = "Tensor.item"
        raise CaptureError(
            f"{self.name}: {caller} hands values of "
            f"{self._describe(memory)} to Python; at a replay "
            "they would be other ones, and control flow, shapes and numbers that depend on them cannot "
            "follow.\n"
            "  Compute with tensors throughout (torch.where instead of if, masks instead of selections), "
            "return the tensor and read it outside, or capture the parts before and after."
        )

    def operator_begins(self, overload: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """An ATen operator is called by the function, or by a composite one. Raises for random numbers."""
        self.operators.append(overload.name())
        if draws_random_numbers(overload, arguments, keywords):
            raise CaptureError(
                f"{self.name}: {overload.name()} draws random numbers whose seed is not an input, so each "
                "replay would repeat the same ones.\n"
                "  Make the random tensor outside and pass it, or launch a kernel that takes its seed from "
                "an "
                "input tensor; for dropout call the model's eval() first."
            )

    def operator_ends(self) -> None:
        """The operator that began last has returned or raised."""
        self.operators.pop()

    def _launched(self, launch: launches.Launch) -> None:
        if threading.get_ident() != self.thread or 0 in launch.grid:
            return
        loaded = functions.at(launch.function)
        places = [
            self._place(launch, slot, argument) for slot, argument in launch.pointers if launch.slots[slot]
        ]
        effects = self._kernel_effects(launch)
        for place in places:
            if place.slot in effects.written:
                self._refuse_write(place.memory, launch)
        for place in places:
            own = any(place.memory is other.memory and other.slot in effects.written for other in places)
            if place.slot in effects.read and not own:
                self._refuse_unknown(place.memory, launch)
        for place in places:
            place.memory.written |= place.slot in effects.written
        self.seen.append(_Seen(launch, loaded, places, self.operators[0] if self.operators else ""))

    def _kernel_effects(self, launch: launches.Launch) -> ArgumentEffects:
        if launch.origin is None:
            raise CaptureError(
                f"{self.name}: kernel {launch.kernel} was not launched through Triton, so its source is not "
                "known"
            )
        effects = effects_of(launch.origin)
        if effects.hidden:
            raise CaptureError(
                f"{self.name}: kernel {launch.kernel} makes addresses from integers or reads them from "
                "memory; a "
                "Program moves its buffers, and such addresses would not follow. Pass the tensors as pointer "
                "arguments"
            )
        return effects

    def _place(self, launch: launches.Launch, slot: int, argument: Any) -> _Place:
        while not isinstance(argument, torch.Tensor) and hasattr(argument, "base"):
            argument = argument.base
        if not isinstance(argument, torch.Tensor):
            raise CaptureError(
                f"{self.name}: kernel {launch.kernel} was given the address {argument!r}; pass the tensor, "
                "so "
                "that the Program knows which memory it is"
            )
        memory = self._memory(argument, Source.BEFORE)
        assert memory is not None
        offset = launch.slots[slot] - memory.storage.data_ptr()
        return _Place(slot, memory, offset, min(span_of(argument), memory.storage.nbytes() - offset))

    def _refuse_write(self, memory: Memory, launch: launches.Launch) -> None:
        if memory.source is Source.STATE or (memory.source is Source.CAPTURE and not memory.host_filled):
            return
        raise CaptureError(
            f"{self.name}: kernel {launch.kernel}{self._within()} writes {self._describe(memory)}; a "
            "Program changes "
            "nothing but its outputs.\n"
            "  Clone the tensor inside the function and write the clone; return what the caller shall have."
        )

    def _refuse_unknown(self, memory: Memory, launch: launches.Launch) -> None:
        if memory.source is not Source.CAPTURE or memory.written or memory.host_filled:
            return
        raise CaptureError(
            f"{self.name}: kernel {launch.kernel}{self._within()} reads memory that was allocated during "
            "the capture "
            "and that no recorded launch has written; it is uninitialised, or something other than a kernel "
            "filled it.\n"
            "  Fill it with an operator or a kernel (torch.zeros, copy_), or make it outside of the function."
        )

    def _describe(self, memory: Memory) -> str:
        if memory.source is Source.INPUT:
            names = [expected.name for expected in self.inputs if isinstance(expected, InputTensor)]
            return f"the input {names[memory.input]}"
        if memory.source in (Source.BEFORE, Source.STATE):
            return "a tensor that existed before the capture"
        if memory.host_filled:
            return "a tensor made of Python values"
        return "a tensor computed from the inputs"

    def _within(self) -> str:
        return f" (in {self.operators[0]})" if self.operators else ""

    def _memory(self, tensor: torch.Tensor, source: Source) -> Memory | None:
        """The memory of a tensor, noted with `source` if it is new; None for tensors without memory."""
        storage = tensor.untyped_storage()
        key = memory_key(storage)
        if not key[1]:
            return None
        if key not in self.memories:
            self.memories[key] = Memory(storage, source)
        return self.memories[key]

    # ---- the Program ------------------------------------------------------------------------------

    def _program(self, result: Any, input_tree: Any, keywords: tuple[str, ...], is_flat: bool) -> Program:
        leaves, output_tree = tree_flatten(result)
        buffers: list[MemoryBlock] = []
        for copy in self.copies:
            memory = self._memory(copy, Source.INPUT)
            if memory is not None:
                memory.buffer = len(buffers)
            buffers.append(MemoryBlock(MemoryKind.INPUT, span_of(copy)))
        written = [self._output_memory(leaf) for leaf in leaves]
        storages: list[OutputStorage] = []
        for memory in written:
            if memory is not None and memory.buffer < 0:
                memory.buffer = len(buffers)
                buffers.append(MemoryBlock(MemoryKind.OUTPUT, memory.storage.nbytes()))
                own = [leaf for leaf, other in zip(leaves, written) if other is memory]
                storages.append(_output_storage(own, memory))
        first_output = len(self.copies)
        outputs = tuple(self._output(leaf, memory, first_output) for leaf, memory in zip(leaves, written))
        recorded = [self._recorded(seen, buffers) for seen in self.seen]
        used = [memory for memory in self.memories.values() if memory.buffer >= 0 and memory.stays_in_place]
        interface = Interface(
            tuple(self.inputs), input_tree, keywords, is_flat, outputs, output_tree, tuple(storages)
        )
        return Program(
            self.name,
            LaunchList(recorded, buffers),
            interface,
            [memory.storage for memory in used],
            self.function,
            self.copies,
            any(memory.source is Source.STATE for memory in used),
        )

    def _output_memory(self, leaf: Any) -> Memory | None:
        """The memory of an output tensor that launches write, or None for other outputs."""
        if not isinstance(leaf, torch.Tensor):
            return None
        self._require_plain(leaf, "a result")
        memory = self._memory(leaf, Source.BEFORE)
        if memory is None or memory.stays_in_place or memory.source is Source.INPUT:
            return None
        if not memory.written and leaf.numel():
            raise CaptureError(
                f"{self.name}: a result of shape {list(leaf.shape)} was written by no recorded launch; it is "
                "uninitialised, or something other than a kernel computed it"
            )
        return memory

    def _output(self, leaf: Any, written: Memory | None, first_output: int) -> Output:
        if not isinstance(leaf, torch.Tensor):
            return Constant(leaf)
        memory = self._memory(leaf, Source.BEFORE)
        if memory is None or memory.stays_in_place:
            return Constant(leaf)
        offset = leaf.data_ptr() - memory.storage.data_ptr()
        if written is None:
            return InputView(memory.input, offset, layout_of(leaf))
        return OutputView(memory.buffer - first_output, offset, layout_of(leaf))

    def _recorded(self, seen: _Seen, buffers: list[MemoryBlock]) -> RecordedLaunch:
        for place in seen.places:
            memory = place.memory
            if memory.buffer < 0:
                memory.buffer = len(buffers)
                size, address = memory.storage.nbytes(), memory.storage.data_ptr()
                buffers.append(MemoryBlock(memory.kind, size, address if memory.stays_in_place else 0))
        return RecordedLaunch(
            seen.function,
            seen.launch.grid,
            seen.launch.slots,
            tuple(Pointer(p.slot, p.memory.buffer, p.offset, p.extent) for p in seen.places),
            seen.operator,
            seen.launch.origin,
        )


def _output_storage(leaves: Sequence[torch.Tensor], memory: Memory) -> OutputStorage:
    """How memory of these results is allocated: as the only one of them if that covers it all, else flat."""
    size, first = memory.storage.nbytes(), leaves[0]
    begins = first.data_ptr() == memory.storage.data_ptr()
    if len(leaves) == 1 and begins and span_of(first) == size:
        return OutputStorage(size, layout_of(first), True)
    dtype = first.dtype if size % first.itemsize == 0 else torch.uint8
    return OutputStorage(size, ((size // dtype.itemsize,), (1,), dtype), False)


def _argument_name(path: Sequence[Any]) -> str:
    """`argument 0`, `argument 1['mask']`, `argument mask`: the place of a leaf in a call."""
    _where, first, *rest = path
    label = first.idx if hasattr(first, "idx") else first.key
    return f"argument {label}{keystr(tuple(rest))}"

"""Compiled graphs of static shapes, replayed as lists of launches. Flows in: what Inductor made of a graph, a
Python function that allocates and launches. Flows out: a callable that does the same in one native call.

The second call of a graph is watched: where all that it does is launches over its inputs and its own memory,
later calls replay these launches, and the wrapper's Python, which costs microseconds for each kernel, is not
run again. A graph that does something else (an operator of PyTorch's, a change of its inputs, random numbers,
shapes that vary) goes on as Inductor made it.
"""

from __future__ import annotations

import functools
import logging
import operator
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._inductor import config
from torch._inductor.output_code import CompiledFxGraph
from torch.utils._pytree import tree_structure

from ...runtime import launches
from .. import graphs
from ..capture import Memory, Recorder, Source
from ..errors import CaptureError
from ..interface import InputTensor
from ..layouts import ADDRESS_ALIGNMENT, copied, layout_of, view_of
from ..observation import ALLOCATIONS, memory_key, observe
from ..program import Program
from . import choice
from .substitution import Substitution

_log = logging.getLogger(__name__)

ALLOCATE = "empty_strided_cpu"
"""The name under which a module that Inductor wrote gets memory. It goes past PyTorch's dispatcher."""

WARM_CALLS = 1
"""Calls before the one that is watched: the first compiles kernels and chooses configurations."""

_watching = threading.Lock()


@dataclass(eq=False, slots=True)
class GraphRecorder(Recorder):
    """Listens to one call of a compiled graph. Inputs stay where they are: the graph's guards have settled
    their shapes, and whoever calls it owns them. Only those that are parts of one tensor (queries, keys and
    values of one product) are given as copies, so that each pointer tells which of them it is in. The call
    goes through whatever is seen, because half a call may have changed inputs already; `refusal` is the first
    reason for which it cannot be replayed. `changed` are the inputs whose new content the caller will see."""

    changed: frozenset[int] = frozenset()
    refusal: str = ""

    def watch(self, inputs: list[torch.Tensor]) -> tuple[Any, Program | None]:
        """The call's result, and the Program that it comes to, None where there is a `refusal`. Raises
        CaptureError before the call for inputs that cannot be told apart."""
        given = list(inputs)
        inputs[:] = map(self._add, range(len(given)), given, _are_parts(given))
        with torch.no_grad(), observe(self), launches.listen(self._heard):
            result = self.function(inputs)
        program = None
        if not self.refusal:
            with self._noting():
                program = self._program(result, tree_structure((tuple(given), {})), (), True)
                program.forget_examples()
        return [self._of_caller(leaf, given) for leaf in result], program

    def _add(self, number: int, value: torch.Tensor, is_part: bool) -> torch.Tensor:
        """Note an input. Returns what the graph is given for it: a copy of what `is_part` of a tensor."""
        name = f"input {number}"
        self._require_plain(value, name)
        if is_part and value.numel():
            if number in self.changed:
                raise CaptureError(f"{self.name}: {name} is part of a tensor, and is changed")
            value = copied(value)
        memory = self._memory(value, Source.INPUT)
        if memory is not None:
            memory.input = number
        self.inputs.append(InputTensor(name, tuple(value.shape), value.stride(), value.dtype))
        self.copies.append(value)
        return value

    def _of_caller(self, leaf: Any, given: Sequence[torch.Tensor]) -> Any:
        """A result as the caller shall have it: where it is a view of a copied input, a view of that input,
        unless the graph, to which the input had been given up, made the result there."""
        memory = self._memory(leaf, Source.BEFORE) if isinstance(leaf, torch.Tensor) else None
        if memory is None or memory.source is not Source.INPUT or memory.written:
            return leaf
        original, copy = given[memory.input], self.copies[memory.input]
        if original is copy:
            return leaf
        return view_of(original, leaf.data_ptr() - copy.data_ptr(), layout_of(leaf))

    def _heard(self, launch: launches.Launch) -> None:
        with self._noting():
            self._launched(launch)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """What is refused in the block is noted, and does not end the call."""
        try:
            yield
        except CaptureError as error:
            self.refusal = self.refusal or str(error)

    def _refuse_write(self, memory: Memory, launch: launches.Launch) -> None:
        """Inputs may be written: Inductor does so where the caller shall see it, or has given them up."""
        if memory.source is not Source.INPUT:
            Recorder._refuse_write(self, memory, launch)

    def read_by_host(self, tensor: torch.Tensor, reader: str) -> None:
        """A value that Python asks for is a reason not to replay."""
        with self._noting():
            Recorder.read_by_host(self, tensor, reader)

    def operator_begins(self, overload: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """So is an operator that computes by other means than launches of ours."""
        with self._noting():
            Recorder.operator_begins(self, overload, arguments, keywords)
            name = overload.name().removeprefix("aten::")
            if overload.namespace != "anychip" and name not in ALLOCATIONS and not overload.is_view:
                raise CaptureError(f"{self.name}: {overload.name()} is PyTorch's own kernel")


@contextmanager
def _observed_allocation(module: dict[str, Any]) -> Iterator[None]:
    """Let a module of Inductor's allocate through PyTorch's dispatcher, where allocations are observed."""
    before = module[ALLOCATE]
    module[ALLOCATE] = lambda shape, strides, dtype: torch.empty_strided(shape, strides, dtype=dtype)
    try:
        yield
    finally:
        module[ALLOCATE] = before


class Replay:
    """Calls `run`, and once it could be recorded, replays it, except where somebody listens to launches.
    `module` holds the names of the module that Inductor wrote, `changed` the numbers of the inputs that the
    caller sees changed. Several threads may call it."""

    def __init__(
        self,
        run: Callable[[list[Any]], Any],
        module: dict[str, Any],
        changed: Iterable[int] = (),
    ):
        self.run = run
        self.module = module
        self.changed = frozenset(changed)
        self.program: Program | None = None
        self.reason = "" if ALLOCATE in module else "the module allocates by other means"
        self.calls = 0

    def state(self) -> str:
        """Whether calls are replayed, in words."""
        if self.program is not None:
            return "replayed in one call"
        if self.reason:
            return f"not replayed: {self.reason}"
        return "not replayed yet: recorded at a second call"

    def __call__(self, inputs: list[Any]) -> Any:
        """Inductor's convention: a list of inputs, which the callee empties, to a sequence of outputs."""
        if self.reason or launches.is_recording():
            return self.run(inputs)
        program = self.program
        if program is not None:
            return self._replay(program, inputs)
        self.calls += 1
        if self.calls <= WARM_CALLS or not _watching.acquire(blocking=False):
            return self.run(inputs)
        try:
            return self._record(inputs)
        finally:
            _watching.release()

    def _record(self, inputs: list[Any]) -> Any:
        recorder = GraphRecorder("graph", self.run, changed=self.changed)
        try:
            if not all(map(_is_plain, inputs)):
                raise CaptureError("graph: an input is no plain tensor on the CPU, or not aligned")
            with _observed_allocation(self.module):
                result, self.program = recorder.watch(inputs)
        except CaptureError as error:  # before anything ran
            self.reason = str(error)
            return self.run(inputs)
        self.reason = recorder.refusal
        _log.debug("a compiled graph is%s replayed %s", " not" if self.reason else "", self.reason)
        return result

    def _replay(self, program: Program, inputs: list[Any]) -> Any:
        addresses = [x.data_ptr() for x in inputs]
        if functools.reduce(operator.or_, addresses, 0) % ADDRESS_ALIGNMENT:
            return self.run(inputs)
        results = program.replay(addresses, inputs)
        inputs.clear()
        return results


def _are_parts(inputs: Sequence[torch.Tensor]) -> list[bool]:
    """For each input whether it is a part of a tensor, or one of several inputs in the same memory."""
    keys = [memory_key(value.untyped_storage()) for value in inputs]
    number = Counter(keys)
    return [number[key] > 1 or value.storage_offset() != 0 for key, value in zip(keys, inputs)]


def _is_plain(value: Any) -> bool:
    """Whether an input is a dense tensor on the CPU whose address kernels may rely on."""
    plain = isinstance(value, torch.Tensor) and value.is_cpu and value.layout == torch.strided
    return plain and value.data_ptr() % ADDRESS_ALIGNMENT == 0


def _post_compile(stock: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(stock)
    def post_compile(self: Any, example_inputs: Sequence[Any], *arguments: Any, **keywords: Any) -> None:
        run = self.current_callable
        module = getattr(getattr(run, "__func__", run), "__globals__", {})
        stock(self, example_inputs, *arguments, **keywords)
        ours = isinstance(config.post_grad_custom_post_pass, Substitution)
        if not ours or self.current_callable is None:
            return
        called, state = self.current_callable, _never_replayed
        if _is_static(example_inputs):
            called = Replay(called, module, self.mutated_input_idxs)
            state = called.state
        graph = graphs.ready(_kind(self), self.source_code, state, choice.RULES)
        self.current_callable = graphs.counted(graph, called)

    return post_compile


def _kind(compiled: CompiledFxGraph) -> str:
    """Which part of a model a graph is."""
    if compiled.fx_kwargs.get("is_backward"):
        return "backward"
    return "inference" if compiled.fx_kwargs.get("is_inference") else "forward"


def _never_replayed() -> str:
    return "not replayed: its shapes vary"


def _is_static(inputs: Sequence[Any]) -> bool:
    return all(
        isinstance(x, torch.Tensor) and all(isinstance(size, int) for size in (*x.shape, *x.stride()))
        for x in inputs
    )


@functools.cache
def install() -> None:
    """Let graphs that are compiled under our settings be replayed: Inductor calls `post_compile` for new
    graphs and for those from its caches."""
    setattr(CompiledFxGraph, "post_compile", _post_compile(CompiledFxGraph.post_compile))  # noqa: B010

"""Follows a run: a mode of PyTorch's dispatcher sees every operator, a listener every launch of a kernel
outside of one. Flows in: a program, as it runs. Flows out: a step for each, with fingerprints of what it
wrote, and copies of the inputs and results of the steps that are wanted.

While an operator runs nobody listens to launches, so that small calls take their native path as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ...conformance.recording import Launched, Recorder, recorded
from ...pytorch.observation import draws_random_numbers, is_composite
from ...runtime import launches, native
from ..written import ALLOCATING
from . import calls
from .emulated import MOST_BLOCKS, MOST_BYTES, EmulatedChip, size_of
from .fingerprint import fingerprint, together
from .trace_file import DRAW, INPUT, KERNEL, OPERATOR, Step

MOST_OUTPUTS = 4
"""Results of a step that get fingerprints of their own; the rest, as of operators on lists, get one
together."""

_UNWRITTEN = -1
"""In the place of the number of a step: nobody has written this memory yet."""

Key = tuple[int, int, tuple[int, ...], tuple[int, ...], int]


@dataclass(slots=True)
class Captured:
    """A wanted step: the call with its inputs, and what it gave."""

    number: int
    name: str
    call: calls.OperatorCall | calls.Kernel
    outputs: list[torch.Tensor] = field(default_factory=list)


@dataclass(slots=True)
class _Pending:
    """A step whose results are still to be looked at."""

    number: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: Sequence[torch.Tensor] = ()
    captured: Captured | None = None
    launched: Launched | None = None
    recorder: Recorder | None = None


@dataclass(frozen=True, slots=True)
class _Facts:
    """What an overload is, asked once: an overload's hash is a function in Python."""

    func: Any
    """Kept, so that nothing else gets its place in memory."""
    run: Callable[..., Any]
    name: str
    composite: bool
    computes: bool
    allocates: bool
    writes: bool
    may_draw: bool


_known: dict[int, _Facts] = {}
"""By the identity of the overload."""


def _facts(func: Any) -> _Facts:
    return _known.setdefault(
        id(func),
        _Facts(
            func,
            func._op,
            str(func),
            is_composite(func),
            calls.computes(func),
            func._schema.name in ALLOCATING,
            calls.writes(func),
            torch.Tag.nondeterministic_seeded in func.tags,
        ),
    )


class Tracer(TorchDispatchMode):
    """Gives each step to `sink`; with `wanted` (numbers) these alone, and to `on_captured`, too."""

    def __init__(
        self,
        sink: Callable[[Step], None],
        *,
        wanted: frozenset[int] = frozenset(),
        on_captured: Callable[[Captured], None] = lambda captured: None,
        chip: EmulatedChip | None = None,
    ):
        super().__init__()
        self.sink, self.wanted, self.on_captured, self.chip = sink, wanted, on_captured, chip
        self._count = 0
        self._inside = False
        self._makers: dict[int, tuple[StorageWeakRef, int]] = {}
        self._leaves: dict[Key, tuple[StorageWeakRef, int]] = {}
        self._launch: _Pending | None = None
        self._waiting: list[_Pending] = []
        self._bytes = 0

    @classmethod
    def is_infra_mode(cls) -> bool:
        """It computes nothing, so that programs under it may be compiled."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch need not import its compiler, for seconds, to hide this mode from it: graphs of programs
        that are followed run uncompiled."""
        return False

    # ---- operators --------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if self._inside or not isinstance(func, torch._ops.OpOverload):
            return func(*args, **keywords)
        facts = _known.get(id(func)) or _facts(func)
        if facts.composite:
            with self:
                return func.decompose(*args, **keywords)
        if self._launch is not None:
            self._settle_launch()
        if not facts.computes:
            returned = facts.run(*args, **keywords)
            if facts.allocates:
                storage = returned.untyped_storage()
                self._makers[storage._cdata] = (StorageWeakRef(storage), _UNWRITTEN)
            return returned
        pending = self._begin(func, facts, args, keywords)
        self._enter()
        try:
            try:
                if self.chip is None:
                    returned = facts.run(*args, **keywords)
                else:
                    returned = self._recorded(self.chip, pending, func, args, keywords)
            except BaseException:
                self._count -= 1
                raise
            if facts.writes:
                pending.outputs = calls.results(func, args, keywords, returned)
            else:
                pending.outputs = calls.readable((returned,))
            if pending.outputs:
                self._end(pending)
            else:
                self._count -= 1
            return returned
        finally:
            self._leave()

    def _enter(self) -> None:
        """From here on nothing is a step, and launches need no listener."""
        self._inside = True
        native.state().divert(-1)

    def _leave(self) -> None:
        native.state().divert(+1)
        self._inside = False

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """The block is no step; it may lie in another such block."""
        if self._inside:
            yield
            return
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _recorded(
        self,
        chip: EmulatedChip,
        pending: _Pending,
        func: Any,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        """Run a call whose launches a chip is to repeat."""
        pending.launched = Launched()
        with recorded(pending.launched, chip.kernels):
            return func(*args, **keywords)

    def _begin(self, func: Any, facts: _Facts, args: Sequence[Any], keywords: Mapping[str, Any]) -> _Pending:
        inputs = self._inputs(calls.tensors_in((*args, *keywords.values()) if keywords else args))
        kind = DRAW if facts.may_draw and draws_random_numbers(func, args, keywords) else OPERATOR
        pending = _Pending(self._next(), kind, facts.name, inputs)
        if pending.number in self.wanted:
            own = tree_map(calls.kept, (tuple(args), dict(keywords)))
            pending.captured = Captured(pending.number, pending.name, calls.OperatorCall(func, *own))
        return pending

    # ---- launches ---------------------------------------------------------------------------------

    def launched(self, launch: launches.Launch) -> None:
        """A kernel is about to run; a listener of `runtime.launches`."""
        if self._inside or 0 in launch.grid:
            return
        with self._ours():
            self._settle(self._take_launch())
            self._begin_launch(launch)

    def _begin_launch(self, launch: launches.Launch) -> None:
        found = calls.kernel_tensors(launch)
        if found is None:
            return
        tensors, written = found
        inputs = self._inputs([x for k, x in enumerate(tensors) if k not in written])
        pending = _Pending(self._next(), KERNEL, launch.kernel, inputs, [tensors[k] for k in written])
        if pending.number in self.wanted:
            kernel = calls.Kernel(launch, tuple(calls.kept(x) for x in tensors), tuple(written))
            pending.captured = Captured(pending.number, pending.name, kernel)
        self._launch = pending
        if self.chip is not None:
            pending.launched = Launched()
            pending.recorder = Recorder(pending.launched, self.chip.kernels)
            pending.recorder.note(launch)

    def _take_launch(self) -> _Pending | None:
        pending, self._launch = self._launch, None
        return pending

    def _settle_launch(self) -> None:
        """The launch before is done."""
        if self._launch is not None:
            self._settle(self._take_launch())

    def _settle(self, pending: _Pending | None) -> None:
        if pending is not None:
            if pending.recorder is not None:
                pending.recorder.finish()
            self._end(pending)

    # ---- steps ------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def _inputs(self, tensors: Sequence[torch.Tensor]) -> tuple[int, ...]:
        """The steps that made tensors; what no step made becomes one."""
        found: list[int] = []
        for x in tensors:
            if x.layout is not torch.strided or x.is_meta or not x.numel():
                continue
            storage = x.untyped_storage()
            known = self._makers.get(storage._cdata)
            if known is None or known[0].expired():
                known = self._leaf(x, storage)
            number = known[1]
            if number != _UNWRITTEN and number not in found:
                found.append(number)
        return tuple(found)

    def _leaf(self, x: torch.Tensor, storage: torch.UntypedStorage) -> tuple[StorageWeakRef, int]:
        key = storage._cdata, int(x.storage_offset()), tuple(x.shape), tuple(x.stride()), _version(x)
        known = self._leaves.get(key)
        if known is None or known[0].expired():
            known = self._leaves[key] = (StorageWeakRef(storage), self._next())
            name = f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
            self._emit(_Pending(known[1], INPUT, name, ()), [x])
        return known

    def _end(self, pending: _Pending) -> None:
        """A step is done: its results are known here, and wait where a chip is to tell them."""
        for x in pending.outputs:
            storage = x.untyped_storage()
            self._makers[storage._cdata] = (StorageWeakRef(storage), pending.number)
        if self.chip is None:
            self._emit(pending, pending.outputs)
            return
        pending.outputs = [
            calls.kept(x.detach()) if not _replayed(pending, x) else x for x in pending.outputs
        ]
        self._wait(pending)

    def _wait(self, pending: _Pending) -> None:
        self._waiting.append(pending)
        self._bytes += size_of(pending.launched) if pending.launched is not None else 0
        if self._bytes > MOST_BYTES or len(self._waiting) >= MOST_BLOCKS:
            self.settle()

    def settle(self) -> None:
        """Everything that is done is given to the sink. Raises NotReplayed."""
        self._settle_launch()
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting or self.chip is None:
            return
        blocks = [(pending.launched or Launched(), pending.outputs) for pending in waiting]
        with self._ours():
            for pending, outputs in zip(waiting, self.chip.results(blocks), strict=True):
                self._told(pending, outputs)

    def _emit(self, pending: _Pending, outputs: Sequence[torch.Tensor]) -> None:
        if self.chip is not None and self._waiting:
            pending.outputs = [calls.kept(x.detach()) for x in outputs]
            self._wait(pending)
        else:
            self._told(pending, outputs)

    def _told(self, pending: _Pending, outputs: Sequence[torch.Tensor]) -> None:
        """The results of a step are known."""
        if self.wanted and pending.number not in self.wanted:
            return
        if self._inside:
            self._tell(pending, outputs)
            return
        with self._ours():
            self._tell(pending, outputs)

    def _tell(self, pending: _Pending, outputs: Sequence[torch.Tensor]) -> None:
        self.sink(_step(pending, outputs))
        if pending.captured is not None:
            pending.captured.outputs = [calls.kept(x) for x in outputs]
            self.on_captured(pending.captured)


def _step(pending: _Pending, outputs: Sequence[torch.Tensor]) -> Step:
    prints = [fingerprint(x) for x in outputs]
    if len(prints) > MOST_OUTPUTS:
        prints = [*prints[: MOST_OUTPUTS - 1], together(prints[MOST_OUTPUTS - 1 :])]
    return Step(pending.number, pending.kind, pending.name, pending.inputs, tuple(prints))


def _version(x: torch.Tensor) -> int:
    return -1 if x.is_inference() else x._version


def _replayed(pending: _Pending, x: torch.Tensor) -> bool:
    """Whether the chip tells a result."""
    return pending.launched is not None and x.untyped_storage().data_ptr() in pending.launched.places


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Follow what this thread does in the block."""
    with launches.listen(tracer.launched), tracer:
        try:
            yield
        finally:
            tracer.settle()

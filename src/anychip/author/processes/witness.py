"""The process that runs a candidate's kernels without the candidate: the steps of a call (allocations, fills,
copies, launches of TTIR) are done again, on inputs that the candidate never saw, compiled here for whichever
instruction set is asked for, with or without checks of every access."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...compiler import pipeline, targets
from ...compiler.codegen.check_table import Check, CheckTable
from ...errors import AnychipError
from ...runtime.binary import KernelBinary
from ...runtime.checks import KernelChecks, LaunchChecks
from ...runtime.errors import OutOfBounds
from ...runtime.findings import View as Layout
from ...runtime.function import Function
from ...runtime.launch import run
from ..arena import Arena, View, aligned
from ..messages import Channel

MASK = (1 << 64) - 1
Step = Callable[[], object]


class BadSteps(AnychipError):
    """Steps that do not say what can be done."""


@functools.cache
def loaded(text: str, target: str, checked: bool) -> tuple[Function, CheckTable | None]:
    """A kernel compiled and loaded, and what it is told if it is checked."""
    wanted = frozenset({Check.BOUNDS}) if checked else frozenset()
    kernel = pipeline.compile_ttir(text, targets.get(target), interruptible=True, wanted=wanted)
    binary = KernelBinary(
        name=kernel.name,
        symbol=kernel.symbol,
        arena_bytes=kernel.arena_bytes,
        arg_types=tuple(kernel.arg_types),
        messages=tuple(kernel.messages),
        target=target,
        object_code=kernel.object_code,
        waiting=kernel.waiting,
        waits_at=kernel.waits_at,
        endless=kernel.endless,
        place=kernel.place,
        arg_names=kernel.arg_names,
    )
    return Function(binary), kernel.checks


class Replay:
    """Steps over an arena. `inputs`: where the inputs lie; allocations follow from `free` on."""

    def __init__(
        self,
        arena: Arena,
        inputs: Sequence[View],
        free: int,
        steps: Sequence[Any],
        kernels: Mapping[str, str],
        target: str,
        checked: bool,
    ):
        self.arena = arena
        self.buffers = [(view.start, view.size) for view in inputs]
        self.free = free
        self.kernels = kernels
        self.target, self.checked = target, checked
        self.steps: list[Step] = []
        makers = {"allocate": self._allocate, "fill": self._fill, "copy": self._copy, "launch": self._launch}
        for kind, *rest in steps:
            if kind not in makers:
                raise BadSteps(f"there is no step {kind!r}")
            makers[kind](*rest)

    def run(self) -> None:
        """Do all steps."""
        for step in self.steps:
            step()

    def view(self, told: Sequence[Any]) -> View:
        """A view that is told as (buffer, offset, dtype, shape, strides)."""
        number, offset, dtype, shape, stride = told
        start, size = self._buffer(number)
        data = {"offset": start + offset, "dtype": dtype, "shape": shape, "stride": stride}
        try:
            return View.from_json({**data, "start": start, "size": size}, self.arena.size)
        except ValueError as error:
            raise BadSteps(str(error)) from None

    def _buffer(self, number: Any) -> tuple[int, int]:
        if type(number) is not int or not 0 <= number < len(self.buffers):
            raise BadSteps(f"there is no memory number {number!r}")
        return self.buffers[number]

    def _allocate(self, size: int) -> None:
        start = aligned(self.free)
        if type(size) is not int or size < 0 or start + size > self.arena.size:
            raise BadSteps(f"there is no memory of {size!r} bytes")
        self.buffers.append((start, size))
        self.free = aligned(start + size + 1)

    def _fill(self, target: Sequence[Any], value: Any) -> None:
        tensor = self.arena.tensor(self.view(target))
        number = float(value["float"]) if isinstance(value, dict) else value
        self.steps.append(functools.partial(tensor.fill_, number))

    def _copy(self, target: Sequence[Any], source: Sequence[Any]) -> None:
        into, out_of = self.arena.tensor(self.view(target)), self.arena.tensor(self.view(source))
        self.steps.append(functools.partial(into.copy_, out_of))

    def _launch(self, name: str, digest: str, grid: Sequence[int], slots: Sequence[Sequence[int]]) -> None:
        if digest not in self.kernels:
            raise BadSteps(f"the text of kernel {name} is missing")
        function, checked = loaded(self.kernels[digest], self.target, self.checked)
        if len(slots) != len(function.arg_types) - (checked is not None):
            raise BadSteps(f"kernel {name} takes {len(function.arg_types)} values, {len(slots)} were given")
        values = []
        for buffer, value in slots:
            values.append((value if buffer < 0 else self._address(buffer) + value) & MASK)
        extents = [int(n) for n in grid]
        if checked is None:
            self.steps.append(lambda: run(function.address, values, extents))
            return
        views = [self._memory_behind(*slots[slot]) for slot in checked.slots]
        addresses = [values[slot] for slot in checked.slots]
        table = LaunchChecks(KernelChecks(name, checked), views, addresses, math.prod(extents))
        values.append(table.address)

        def launch() -> None:
            run(function.address, values, extents)
            table.tell()

        self.steps.append(launch)

    def _memory_behind(self, buffer: int, offset: int) -> Layout:
        """All of a buffer, seen from a place in it; nothing where there is none."""
        size = self._buffer(buffer)[1] if buffer >= 0 else 0
        return Layout(memory=(-offset, size - offset) if buffer >= 0 else (0, 0), known=False)

    def _address(self, buffer: int) -> int:
        return self.arena.address + self._buffer(buffer)[0]


class Witness:
    """The process's latest replay."""

    def __init__(self, arena: Arena):
        self.arena = arena
        self.replay: Replay | None = None

    def prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        """Compile and lay out steps. Answers where the results will lie."""
        inputs = [View.from_json(view, self.arena.size) for view in message["inputs"]]
        self.replay = Replay(
            self.arena,
            inputs,
            message["free"],
            message["steps"],
            message["kernels"],
            message["target"],
            message["checked"],
        )
        return {"outputs": [self.replay.view(told).to_json() for told in message["outputs"]]}

    def run(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do the steps that were laid out."""
        assert self.replay is not None
        self.replay.run()
        return {"done": True}


def serve(channel: Channel, arena: Arena) -> None:
    """Answer messages until the judge is gone."""
    witness = Witness(arena)
    actions = {"prepare": witness.prepare, "run": witness.run}
    while True:
        message = channel.receive()
        try:
            answer = actions[message["do"]](message)
        except OutOfBounds as error:
            answer = {"error": str(error), "bounds": True}
        except (
            AnychipError,
            RuntimeError,
            ValueError,
            TypeError,
            KeyError,
            MemoryError,
            struct.error,
        ) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        channel.send(answer)

"""A run as another chip would have computed it: each operator's launches, recorded here with the memory that
they read, are replayed on an emulated core. Flows in: blocks that launch. Flows out: the chip's results in
place of ours. The program itself goes on with ours, so each operator is seen on inputs of this machine's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...compiler.foreign import ForeignKernel, compile_for
from ...compiler.foreign.routes import resolve
from ...compiler.targets import Target
from ...conformance.recording import Kernels, Launched
from ...emulation.cores import core_for
from ...emulation.execution import require_emulator
from ...emulation.linking import require_linker
from ...emulation.replay import KernelCode, Upload, replay
from ...errors import AnychipError

MOST_BYTES = 64 << 20
"""Memory of recorded launches after which they are replayed."""

MOST_BLOCKS = 256
"""Likewise, blocks."""


class NotReplayed(AnychipError):
    """A chip that nothing emulates here, or launches that cannot be repeated on it."""


class EmulatedChip:
    """Replays blocks of launches on a chip's emulated core. Raises NotReplayed for a GPU, UnknownTarget,
    MissingEmulator."""

    def __init__(self, chip: str):
        target = resolve(chip)
        if not isinstance(target, Target):
            raise NotReplayed(f"{chip} is a GPU, which nothing emulates; run that side on the chip itself")
        self.core = core_for(target, emulate_native=True)
        require_emulator(self.core)
        require_linker()
        self.kernels = Kernels()
        self._codes: dict[str, KernelCode] = {}
        self._failed: dict[str, str] = {}

    def results(self, blocks: Sequence[tuple[Launched, Sequence[torch.Tensor]]]) -> list[list[torch.Tensor]]:
        """The tensors of each block, with what the chip wrote. Raises NotReplayed."""
        self._compile(sorted(set().union(*(launched.case.kernels for launched, _ in blocks))))
        for launched, _ in blocks:
            if launched.problem:
                raise NotReplayed(f"a launch cannot be repeated elsewhere: {launched.problem}")
            if launched.mixed and self.core.runs.big_endian:
                raise NotReplayed(
                    "memory is used as elements of different sizes, which this chip orders otherwise"
                )
        ready = [launched for launched, _ in blocks if launched.case.kernels]
        answers = iter(replay(self.core, [launched.case for launched in ready], self._codes))
        found = []
        for launched, tensors in blocks:
            if not launched.case.kernels:
                found.append(list(tensors))
                continue
            answer = next(answers)
            if answer.error:
                raise NotReplayed(f"the emulated core failed: {answer.error}")
            found.append([launched.replaced(x, answer.memories) for x in tensors])
        return found

    def _compile(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self._codes]
        kernels = [ForeignKernel(name, self.kernels.texts[name]) for name in missing]
        for record in compile_for(self.core.runs.name, kernels, assembly=False):
            if not record.ok:
                raise NotReplayed(
                    f"{record.kernel} was not compiled for {self.core.runs.name}: {record.error}"
                )
            self._codes[record.kernel] = KernelCode(record.symbol, record.object_code, record.arena_bytes)


def size_of(launched: Launched) -> int:
    """Bytes that a block's recorded memory takes."""
    return sum(len(step.content) for step in launched.case.steps if isinstance(step, Upload))

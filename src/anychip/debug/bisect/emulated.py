"""A run as another chip would have computed it: each operator's launches, recorded here with the memory that
they read, are replayed on an emulated core. Flows in: blocks that launch. Flows out: the chip's results in
place of ours. The program itself goes on with ours, so each operator is seen on inputs of this machine's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...compiler.foreign import ForeignKernel, compile_for
from ...compiler.foreign.routes import resolve
from ...compiler.targets import Target
from ...conformance.proving import EMULATOR_FAULT, MIXED
from ...conformance.recording import Kernels, Launched
from ...emulation.cores import Core, core_for
from ...emulation.execution import require_emulator
from ...emulation.linking import require_linker
from ...emulation.replay import Answer, KernelCode, Upload, replay
from ...errors import AnychipError

MOST_BYTES = 64 << 20
"""Memory of recorded launches after which they are replayed."""

MOST_BLOCKS = 256
"""Likewise, blocks."""


class NotReplayed(AnychipError):
    """A chip that nothing emulates here, or launches that cannot be repeated on it."""


class _Form:
    """The code of kernels in one form of a chip's instruction set, and what runs it."""

    def __init__(self, core: Core, kernels: Kernels):
        self.core, self.kernels = core, kernels
        self._codes: dict[str, KernelCode] = {}

    def answers(self, blocks: Sequence[Launched]) -> list[Answer]:
        """What the emulator gives for the launches of each block. Raises NotReplayed."""
        used = sorted(set().union(*(launched.case.kernels for launched in blocks)))
        missing = [ForeignKernel(name, self.kernels.texts[name]) for name in used if name not in self._codes]
        for record in compile_for(self.core.runs.name, missing, assembly=False):
            if not record.ok:
                raise NotReplayed(
                    f"{record.kernel} was not compiled for {self.core.runs.name}: {record.error}"
                )
            self._codes[record.kernel] = KernelCode(record.symbol, record.object_code, record.arena_bytes)
        return replay(self.core, [launched.case for launched in blocks], self._codes)


class EmulatedChip:
    """Replays blocks of launches on a chip's emulated core; what the emulator itself fails at, in the form
    without vectors. Raises NotReplayed for a GPU, UnknownTarget, MissingEmulator."""

    def __init__(self, chip: str):
        target = resolve(chip)
        if not isinstance(target, Target):
            raise NotReplayed(f"{chip} is a GPU, which nothing emulates; run that side on the chip itself")
        core = core_for(target, emulate_native=True)
        require_emulator(core)
        require_linker()
        self.kernels = Kernels()
        self._form = _Form(core, self.kernels)
        self._other = _Form(core_for(core.otherwise), self.kernels) if core.otherwise is not None else None

    def results(self, blocks: Sequence[tuple[Launched, Sequence[torch.Tensor]]]) -> list[list[torch.Tensor]]:
        """The tensors of each block, with what the chip wrote. Raises NotReplayed."""
        for launched, _ in blocks:
            if launched.problem:
                raise NotReplayed(f"a launch cannot be repeated elsewhere: {launched.problem}")
            if launched.mixed and self._form.core.runs.big_endian:
                raise NotReplayed(MIXED)
        ready = [launched for launched, _ in blocks if launched.case.kernels]
        answers = self._form.answers(ready)
        failed = [k for k, answer in enumerate(answers) if EMULATOR_FAULT.search(answer.error)]
        if failed and self._other is not None:
            again = self._other.answers([ready[k] for k in failed])
            for k, answer in zip(failed, again, strict=True):
                answers[k] = answer
        told = {id(launched): answer for launched, answer in zip(ready, answers, strict=True)}
        return [_replaced(launched, tensors, told.get(id(launched))) for launched, tensors in blocks]


def _replaced(
    launched: Launched, tensors: Sequence[torch.Tensor], answer: Answer | None
) -> list[torch.Tensor]:
    if answer is None:
        return list(tensors)
    if answer.error:
        raise NotReplayed(f"the emulated core failed: {answer.error}")
    return [launched.replaced(x, answer.memories) for x in tensors]


def size_of(launched: Launched) -> int:
    """Bytes that a block's recorded memory takes."""
    return sum(len(step.content) for step in launched.case.steps if isinstance(step, Upload))

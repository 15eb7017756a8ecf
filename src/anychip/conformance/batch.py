"""What the chips of a run share. Flows in: recorded trials and their kernels. Flows out: code and results for
each chip; equal kernels are compiled once in a run, and equal code is run once on equally set up emulators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..compiler.foreign import ForeignKernel, Record, compile_for
from ..emulation.cores import Core
from ..emulation.replay import Answer, KernelCode, replay
from .recording import Kernels, Recording


class Compilations:
    """The kernels of a run, and the code that was asked for so far."""

    def __init__(self) -> None:
        self.kernels = Kernels()
        self._records: dict[str, dict[str, Record]] = {}

    def compiled(self, target: str, names: Iterable[str]) -> list[Record]:
        """What became of these kernels for a target, in their order."""
        names = list(names)
        known = self._records.setdefault(target, {})
        missing = [ForeignKernel(name, self.kernels.texts[name]) for name in names if name not in known]
        known.update((record.kernel, record) for record in compile_for(target, missing, assembly=False))
        return [known[name] for name in names]


class Batch:
    """A batch of operators: the results that were asked for so far."""

    def __init__(self, compilations: Compilations) -> None:
        self._answers: dict[Core, dict[int, Answer]] = {}
        self.compilations = compilations

    def replayed(
        self, core: Core, recordings: Sequence[Recording], codes: Mapping[str, KernelCode]
    ) -> dict[int, Answer]:
        """The answers on an emulated core, by the `id` of the recording."""
        known = self._answers.setdefault(replace(core, remark=""), {})
        missing = [recording for recording in recordings if id(recording) not in known]
        if missing:
            answers = replay(core, [recording.case for recording in missing], codes)
            known.update((id(recording), answer) for recording, answer in zip(missing, answers, strict=True))
        return {id(recording): known[id(recording)] for recording in recordings}

"""How many instructions operators' kernels execute on a chip that is emulated here.

Flows in: a chip and operators. Flows out: a row for each kernel of each sample. No times: an emulator's
say nothing of the chip. Kernels of the same text are compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compiler.targets import Target
from ..emulation.cores import core_for
from ..emulation.counting import count
from ..emulation.execution import require_emulator
from ..emulation.replay import KernelCode
from ..pytorch import using
from .batch import Compilations
from .errors import ConformanceError
from .generation import as_on, generation_of
from .recording import record
from .trials import Sampling, chosen, dtypes_of, trials


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """Instructions of all launches of a kernel in one sample of an operator."""

    operator: str
    dtype: str
    inputs: str
    kernel: str
    launches: int
    instructions: int


def instructions(target: object, names: Sequence[str], sampling: Sampling) -> list[InstructionRow]:
    """Count the samples of some operators on a target. Raises ConformanceError for a GPU or where nothing
    can be replayed, and MissingEmulator."""
    if not isinstance(target, Target):
        raise ConformanceError("instructions are counted under emulators of CPUs; this is a GPU")
    core = core_for(target, emulate_native=True)
    require_emulator(core)
    rows: list[InstructionRow] = []
    compilations = Compilations()
    for name in chosen(names):
        for dtype in dtypes_of(name, sampling):
            made = trials(name, dtype, sampling)
            with as_on(generation_of(target)), using("strict"):
                recordings = [record(trial, compilations.kernels) for trial in made]
            for recording in recordings:
                case = recording.case
                if recording.problem or not case.kernels:
                    continue
                done = compilations.compiled(core.runs.name, sorted(case.kernels))
                errors = [one.error for one in done if not one.ok]
                if errors:
                    raise ConformanceError(f"{name} for {core.runs.name}: {errors[0]}")
                codes = {one.kernel: KernelCode(one.symbol, one.object_code, one.arena_bytes) for one in done}
                launched = [getattr(step, "kernel", "") for step in case.steps]
                for kernel, number in count(core, [case], codes).items():
                    rows.append(
                        InstructionRow(
                            name,
                            str(dtype).removeprefix("torch."),
                            recording.trial.inputs,
                            kernel.rpartition("_")[0],
                            launched.count(kernel),
                            number,
                        )
                    )
    if not rows:
        raise ConformanceError(
            f"no sample of {', '.join(names)} launches a kernel that can be replayed elsewhere"
        )
    return rows

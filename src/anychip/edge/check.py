"""Proof of an exported library: its own example, built for the chip, run there or under an emulator.

Flows in: the folder of an export. Flows out: what the example printed and whether every output is what
PyTorch computed, within the tolerances that the example carries.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..compiler import targets
from ..compiler.targets import Target
from ..emulation.cores import ENGINES, Core, core_for
from ..emulation.execution import require_emulator, run, version_of
from ..emulation.linking import link, require_linker
from .errors import CheckError
from .folder import REPORT

_DIFFERENCE = re.compile(r"^(\w+): largest difference (\d+)e-9", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Check:
    """The run of an example: the emulator and its version, each output's largest difference from PyTorch
    relative to the output's largest element, and what was printed."""

    emulator: str
    version: str
    differences: dict[str, float]
    output: str
    remark: str = ""


def check(directory: Path | str, *, engine: str = ENGINES[0]) -> Check:
    """Build and run the example of an export; `engine` is what runs WebAssembly.

    Raises MissingEmulator where nothing runs the chip's code here, EmulationError where the example cannot
    be built, CheckError where it fails or its results differ.
    """
    folder = Path(directory).resolve()
    try:
        facts = json.loads((folder / REPORT).read_text())
    except (OSError, ValueError) as error:
        raise CheckError(f"{folder} holds no export: {error}") from error
    core = require_core(targets.get(facts["target"]), engine=engine)
    with tempfile.TemporaryDirectory(prefix="anychip-check-") as temporary:
        program = Path(temporary) / "example"
        link(core, [folder / "example.c", folder / f"lib{facts['name']}.a"], program, include=folder)
        done = run(core, program, folder)
    differences = {name: int(number) * 1e-9 for name, number in _DIFFERENCE.findall(done.output)}
    expected = {tensor["name"] for output in facts["outputs"] for tensor in output["tensors"]}
    if done.status or set(differences) != expected:
        raise CheckError(
            f"the example of {facts['name']} {done.ending} under {core.setting}:\n{done.output.strip()}"
        )
    return Check(core.setting, version_of(core), differences, done.output, _remark(core))


def require_core(target: Target, *, engine: str = ENGINES[0]) -> Core:
    """What runs code for the target here. Raises CheckError where nothing can, and MissingEmulator or
    EmulationError where the emulator or the linker is not installed: before an export is made, so that
    nobody waits for one that cannot be checked."""
    core = core_for(target, engine=engine)
    if core.runs != target:
        raise CheckError(
            f"code for {target.name} cannot be run: {core.remark}\n"
            f"  Export for {core.runs.name} to check the same Program."
        )
    require_emulator(core)
    require_linker()
    return core


def _remark(core: Core) -> str:
    return core.remark

"""Which emulator runs a target's code, and how it is set up as that core.

Flows in: a target, which says how it is emulated (`compiler/targets/emulator.py`). Flows out: a `Core`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler import targets
from ..compiler.targets import Target
from ..compiler.targets.emulator import ENGINE, NATIVE
from .errors import MissingEmulator


@dataclass(frozen=True, slots=True)
class Core:
    """How a target is emulated. `kind`: "qemu-user", "qemu-system", "wasmtime", "node", or "native"
    for this machine's own architecture; `program`: QEMU's name
    for the architecture; `model`: its core model; `machine`: its board (system emulation); `system`: zig's
    target to link for, with `link_options`. `runs` is the target whose code is run in the emulator: another
    one where the emulator lacks the target's vectors, as `remark` then says. `otherwise`: the target whose
    code is run in place of single kernels that the emulator fails at."""

    kind: str
    program: str
    model: str
    system: str
    runs: Target
    link_options: tuple[str, ...] = ()
    machine: str = ""
    remark: str = ""
    otherwise: Target | None = None

    @property
    def setting(self) -> str:
        """The emulator and its settings in one line, for records."""
        return " ".join(filter(None, (self.kind, self.program, self.machine, self.model)))


ENGINES = ("wasmtime", "node")
"""What runs WebAssembly: wasmtime's compiler, or the V8 of Node.js, which browsers have too."""


def core_for(target: Target, *, emulate_native: bool = False, engine: str = ENGINES[0]) -> Core:
    """The emulation of a target. Code of a machine's own kind runs on it as it is; with `emulate_native`,
    under an emulator set up as that core, where there is one. `engine`: what runs WebAssembly. Raises
    MissingEmulator where nothing runs its code."""
    emulator = target.emulator
    if emulator is None:
        raise MissingEmulator(
            f"no emulator runs code for {target.name}\n  Its evidence ends at compiled code; others: "
            f"{', '.join(sorted(filter(_is_emulated_by_name, targets.names())))}."
        )
    if emulator.kind == NATIVE or (emulator.usually_native and not emulate_native):
        return Core(NATIVE, "", "", emulator.system, target)
    return Core(
        kind=engine if emulator.kind == ENGINE else emulator.kind,
        program=emulator.program,
        model=emulator.model,
        system=emulator.system,
        runs=targets.get(emulator.runs) if emulator.runs else target,
        link_options=emulator.link_options,
        machine=emulator.machine,
        remark=emulator.remark,
        otherwise=targets.get(emulator.otherwise) if emulator.otherwise else None,
    )


def is_emulated(target: Target) -> bool:
    """Whether something runs the target's code here: this machine, or an emulator, installed or not."""
    return target.emulator is not None


def _is_emulated_by_name(name: str) -> bool:
    return is_emulated(targets.get(name))

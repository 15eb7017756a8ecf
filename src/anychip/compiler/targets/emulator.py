"""What runs a target's code on a machine of another kind. Data only: the room `emulation` acts upon it.

The facts are QEMU's and were tried with version 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

ENGINE = "engine"
"""The kind that stands for whichever WebAssembly engine is asked for."""
NATIVE = "native"
"""The kind of a target whose code only machines of its own instruction set run."""

_ALL_FEATURES = "this emulator has no model of the core: its model with every feature is set up"


@dataclass(frozen=True, slots=True)
class Emulator:
    """How a target is emulated.

    `kind`: "qemu-user", "qemu-system", `ENGINE` or `NATIVE`. `system`: zig's target to link for, with
    `link_options`. `program`: QEMU's name for the architecture; `model`: its core model; `machine`: its board
    (system emulation). `runs`: the target whose code is run where the emulator lacks instructions of this
    one, as `remark` then says, in words that go into records. `otherwise`: the target whose code is run in
    place of single kernels that the emulator fails at. `usually_native`: the code is run on this machine as
    it is, unless the emulator is asked for.
    """

    kind: str
    system: str
    program: str = ""
    model: str = ""
    link_options: tuple[str, ...] = ()
    machine: str = ""
    remark: str = ""
    runs: str = ""
    otherwise: str = ""
    usually_native: bool = False


def qemu_user(
    program: str, model: str, system: str, *link_options: str, remark: str = "", otherwise: str = ""
) -> Emulator:
    """QEMU's emulation of a Linux process. Without a remark, a model of every feature is remarked."""
    remark = remark or (_ALL_FEATURES if model.startswith("max") else "")
    return Emulator("qemu-user", system, program, model, link_options, remark=remark, otherwise=otherwise)


def sister(model: str) -> str:
    """The remark of a core that is emulated as `model`, another one of the same instruction set."""
    return f"this emulator has no model of the core: its {model}, of the same instruction set, is set up"

"""Which emulator runs a target's code, and how it is set up as that core.

One row for each target: the settings of QEMU's core model, and what of the target the emulator cannot
run, in words that go into records. The facts of a row are QEMU's and were tried with version 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..compiler import targets
from ..compiler.targets import Target
from .errors import MissingEmulator


@dataclass(frozen=True, slots=True)
class Core:
    """How a target is emulated. `kind`: "qemu-user", "qemu-system", "wasmtime", or "native"
    for this machine's own architecture; `program`: QEMU's name
    for the architecture; `model`: its core model; `machine`: its board (system emulation); `system`: zig's
    target to link for, with `link_options`. `runs` is the target whose code is run in the emulator: another
    one where the emulator lacks the target's vectors, as `remark` then says."""

    kind: str
    program: str
    model: str
    system: str
    runs: Target
    link_options: tuple[str, ...] = ()
    machine: str = ""
    remark: str = ""

    @property
    def setting(self) -> str:
        """The emulator and its settings in one line, for records."""
        return " ".join(filter(None, (self.kind, self.program, self.machine, self.model)))


def _user(program: str, system: str, *link_options: str) -> Callable[[Target, str], Core]:
    def core(target: Target, model: str) -> Core:
        return Core("qemu-user", program, model, system, target, link_options)

    return core


_AARCH64 = _user("aarch64", "aarch64-linux-musl")
_ARM = _user("arm", "arm-linux-musleabihf")
_RISCV = _user("riscv64", "riscv64-linux-musl")
_LOONGARCH = _user("loongarch64", "loongarch64-linux-musl", "-mcpu=generic_la64+d+f")
_POWER = _user("ppc64le", "powerpc64le-linux-musl")
_Z = _user("s390x", "s390x-linux-musl")
_MIPS = _user("mips64el", "mips64el-linux-muslabi64")

_VECTORS = "v=true,vlen={bits},elen=64,vext_spec=v1.0"
_NO_ZICOND = "this emulator has no Zicond and Zvfh: generic code for the same 256-bit vectors is run"
_NO_LSX = "this emulator has no LSX or LASX: the vector form is compiled, the scalar form is run"

_MODELS: dict[str, tuple[Callable[[Target, str], Core], str]] = {
    "aarch64": (_AARCH64, "cortex-a53"),
    "cortex-a53": (_AARCH64, "cortex-a53"),
    "cortex-a55": (_AARCH64, "max"),
    "cortex-a57": (_AARCH64, "cortex-a57"),
    "cortex-a72": (_AARCH64, "cortex-a72"),
    "cortex-a76": (_AARCH64, "cortex-a76"),
    "cortex-a78ae": (_AARCH64, "max,sve=off"),
    "cortex-x1": (_AARCH64, "max,sve=off"),
    "cortex-a520": (_AARCH64, "max,sve128=on"),
    "cortex-a720": (_AARCH64, "max,sve128=on"),
    "neoverse-n1": (_AARCH64, "neoverse-n1"),
    "neoverse-n2": (_AARCH64, "max,sve128=on"),
    "neoverse-v1": (_AARCH64, "max,sve256=on"),
    "neoverse-v1-sve": (_AARCH64, "max,sve256=on"),
    "neoverse-v2": (_AARCH64, "max,sve128=on"),
    "neoverse-v2-sve": (_AARCH64, "max,sve128=on"),
    "a64fx": (_AARCH64, "a64fx"),
    "a64fx-sve": (_AARCH64, "a64fx"),
    "cortex-a8": (_ARM, "cortex-a8"),
    "cortex-a9": (_ARM, "cortex-a9"),
    "cortex-a7": (_ARM, "cortex-a7"),
    "cortex-a15": (_ARM, "cortex-a15"),
    "rv64gc": (_RISCV, "rv64,v=false"),
    "sifive-u74": (_RISCV, "sifive-u54"),
    "rv64gcv": (_RISCV, "rv64," + _VECTORS.format(bits=128)),
    "rv64gcv-256": (_RISCV, "rv64," + _VECTORS.format(bits=256)),
    "loongarch64": (_LOONGARCH, "la464-loongarch-cpu"),
    "power8": (_POWER, "power8"),
    "power9": (_POWER, "power9"),
    "power10": (_POWER, "power10"),
    "z13": (_Z, "max"),
    "z14": (_Z, "max"),
    "z15": (_Z, "max"),
    "z16": (_Z, "max"),
    "mips64r2": (_MIPS, "MIPS64R2-generic"),
}  # fmt: skip
"""Target -> QEMU's user-mode program and its core model."""

_REDUCED: dict[str, tuple[str, str]] = {
    "loongarch64-lsx": ("loongarch64", _NO_LSX),
    "spacemit-x60": ("rv64gcv-256", _NO_ZICOND),
    "la464": ("loongarch64", _NO_LSX),
    "la664": ("loongarch64", _NO_LSX),
}
"""Target with instructions that the emulator does not have -> the target that is run in its place, and
the remark."""

_BOARDS: dict[str, tuple[str, str]] = {
    "cortex-m4": ("mps2-an386", "cortex_m4+vfp4d16sp"),
    "cortex-m7": ("mps2-an500", "cortex_m7+fp_armv8d16"),
    "cortex-m55": ("mps3-an547", "cortex_m55+fp_armv8d16"),
}
"""Microcontroller -> the board of QEMU's system emulator that has it, and zig's name for the core."""


def core_for(target: Target) -> Core:
    """The emulation of a target. Raises MissingEmulator where no emulator runs its code."""
    name = target.name
    if name in _REDUCED:
        other, remark = _REDUCED[name]
        return replace(core_for(targets.get(other)), remark=remark)
    if name in _MODELS:
        make, model = _MODELS[name]
        return make(target, model)
    if name in _BOARDS:
        machine, linked_for = _BOARDS[name]
        options = (f"-mcpu={linked_for}",)
        return Core("qemu-system", "arm", name, "thumb-freestanding-eabihf", target, options, machine)
    if target.isa == "x86_64":
        return Core("native", "", "", "x86_64-linux-musl", target)
    if target.isa == "wasm32":
        return Core("wasmtime", "wasm32", "", "wasm32-wasi", target)
    raise MissingEmulator(
        f"no emulator runs code for {name}\n  Its evidence ends at compiled code; others: "
        f"{', '.join(sorted({*_MODELS, *_REDUCED, *_BOARDS}))}, wasm32."
    )


def is_emulated(target: Target) -> bool:
    """Whether there is an emulator for the target, installed or not."""
    try:
        core_for(target)
    except MissingEmulator:
        return False
    return True

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

_X86 = _user("x86_64", "x86_64-linux-musl")
_ALL_FEATURES = "this emulator has no model of the core: its model with every feature is set up"
_SISTER = "this emulator has no model of the core: its {model}, of the same instruction set, is set up"
_NO_MSA = "cores with MSA run code without it, which LLVM would compile wrongly"
_NO_AVX_VNNI = "this emulator has no AVX-VNNI: code for Haswell, which has the rest, is run"

_MODELS: dict[str, tuple[Callable[[Target, str], Core], str]] = {
    "aarch64": (_AARCH64, "cortex-a53"),
    "cortex-a35": (_AARCH64, "cortex-a35"),
    "cortex-a53": (_AARCH64, "cortex-a53"),
    "cortex-a55": (_AARCH64, "max"),
    "cortex-a57": (_AARCH64, "cortex-a57"),
    "cortex-a72": (_AARCH64, "cortex-a72"),
    "cortex-a73": (_AARCH64, "cortex-a72"),
    "cortex-a76": (_AARCH64, "cortex-a76"),
    "cortex-a78": (_AARCH64, "max,sve=off"),
    "cortex-a78ae": (_AARCH64, "max,sve=off"),
    "cortex-x1": (_AARCH64, "max,sve=off"),
    "cortex-a510": (_AARCH64, "max,sve128=on"),
    "cortex-a520": (_AARCH64, "max,sve128=on"),
    "cortex-a715": (_AARCH64, "max,sve128=on"),
    "cortex-a720": (_AARCH64, "max,sve128=on"),
    "cortex-x3": (_AARCH64, "max,sve128=on"),
    "cortex-x4": (_AARCH64, "max,sve128=on"),
    "neoverse-n1": (_AARCH64, "neoverse-n1"),
    "neoverse-n2": (_AARCH64, "max,sve128=on"),
    "neoverse-v1": (_AARCH64, "max,sve256=on"),
    "neoverse-v1-sve": (_AARCH64, "max,sve256=on"),
    "neoverse-v2": (_AARCH64, "max,sve128=on"),
    "neoverse-v2-sve": (_AARCH64, "max,sve128=on"),
    "neoverse-v3ae": (_AARCH64, "max,sve128=on"),
    "ampere1": (_AARCH64, "max,sve=off"),
    "tsv110": (_AARCH64, "max,sve=off"),
    "thunderx2t99": (_AARCH64, "max,sve=off"),
    "a64fx": (_AARCH64, "a64fx"),
    "a64fx-sve": (_AARCH64, "a64fx"),
    "cortex-a8": (_ARM, "cortex-a8"),
    "cortex-a9": (_ARM, "cortex-a9"),
    "cortex-a7": (_ARM, "cortex-a7"),
    "cortex-a15": (_ARM, "cortex-a15"),
    "cortex-a32": (_ARM, "max"),
    "rv64gc": (_RISCV, "rv64,v=false"),
    "sifive-u74": (_RISCV, "sifive-u54"),
    "sifive-p550": (_RISCV, "rv64,v=false,zba=true,zbb=true"),
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
}
"""Target -> QEMU's user-mode program and its core model."""

_X86_MODELS: dict[str, tuple[str, str, str]] = {
    "x86-64-v3": ("x86-64-v3", "Haswell-noTSX", ""),
    "haswell": ("haswell", "Haswell-noTSX", ""),
    "skylake": ("skylake", "Skylake-Client-noTSX-IBRS", ""),
    "znver1": ("znver1", "EPYC", ""),
    "znver2": ("znver2", "EPYC-Rome", ""),
    "alderlake": ("haswell", "Haswell-noTSX", _NO_AVX_VNNI),
    "arrowlake-s": ("haswell", "Haswell-noTSX", _NO_AVX_VNNI),
    "gracemont": ("haswell", "Haswell-noTSX", _NO_AVX_VNNI),
}
"""x86-64 target -> the target that is run, QEMU's core model, and the remark. QEMU has no AVX-512."""

_REMARKS: dict[str, str] = {
    "cortex-a73": _SISTER.format(model="Cortex-A72"),
    "cortex-m85": _SISTER.format(model="Cortex-M55"),
    "mips64r2": _NO_MSA,
    "sifive-u74": _SISTER.format(model="SiFive U54"),
}
"""What is to be said of a row, beside `_ALL_FEATURES`."""

_REDUCED: dict[str, tuple[str, str]] = {
    "loongarch64-lsx": ("loongarch64", _NO_LSX),
    "spacemit-x60": ("rv64gcv-256", _NO_ZICOND),
    "la464": ("loongarch64", _NO_LSX),
    "la664": ("loongarch64", _NO_LSX),
}
"""Target with instructions that the emulator does not have -> the target that is run in its place, and
the remark."""

_SCALAR: dict[str, str] = {"rv64gcv": "rv64gc", "rv64gcv-256": "rv64gc"}
"""Target with vectors that the emulator fails at here and there -> the target without them. QEMU 7.2 cannot
translate some of RISC-V's vector code."""

_BOARDS: dict[str, tuple[str, str, str]] = {
    "cortex-m4": ("cortex-m4", "mps2-an386", "cortex_m4+vfp4d16sp"),
    "cortex-m7": ("cortex-m7", "mps2-an500", "cortex_m7+fp_armv8d16"),
    "cortex-m55": ("cortex-m55", "mps3-an547", "cortex_m55+fp_armv8d16"),
    "cortex-m85": ("cortex-m55", "mps3-an547", "cortex_m55+fp_armv8d16"),
}
"""Microcontroller -> QEMU's core model, the board of its system emulator that has it, and zig's name for
the core."""


ENGINES = ("wasmtime", "node")
"""What runs WebAssembly: wasmtime's compiler, or the V8 of Node.js, which browsers have too."""


def core_for(target: Target, *, emulate_x86: bool = False, engine: str = ENGINES[0]) -> Core:
    """The emulation of a target. x86-64 runs on this machine as it is; with `emulate_x86`, under an
    emulator set up as that core, where there is one. `engine`: what runs WebAssembly. Raises MissingEmulator
    where nothing runs its code."""
    name = target.name
    if emulate_x86 and name in _X86_MODELS:
        other, model, remark = _X86_MODELS[name]
        return replace(_X86(targets.get(other), model), remark=remark)
    if name in _REDUCED:
        other, remark = _REDUCED[name]
        return replace(core_for(targets.get(other)), remark=remark)
    if name in _MODELS:
        make, model = _MODELS[name]
        remark = _ALL_FEATURES if model.startswith("max") else ""
        otherwise = targets.get(_SCALAR[name]) if name in _SCALAR else None
        return replace(make(target, model), remark=_REMARKS.get(name, remark), otherwise=otherwise)
    if name in _BOARDS:
        model, machine, linked_for = _BOARDS[name]
        options = (f"-mcpu={linked_for}",)
        core = Core("qemu-system", "arm", model, "thumb-freestanding-eabihf", target, options, machine)
        return replace(core, remark=_REMARKS.get(name, ""))
    if target.isa == "x86_64":
        return Core("native", "", "", "x86_64-linux-musl", target)
    if target.isa == "wasm32":
        return Core(engine, "wasm32", "", "wasm32-wasi", target)
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

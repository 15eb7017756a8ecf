"""64-bit RISC-V. Vectors of a fixed length are lowered to the vector extension; `zvl<N>b` in the
features tells LLVM how many bits a register has at least."""

from __future__ import annotations

from dataclasses import replace

from ..emulator import Emulator, qemu_user, sister
from ..instruction_set import InstructionSet
from ..target import Target

_GC = "+m,+a,+f,+d,+c,+zicsr,+zifencei"
_NO_ZICOND = "this emulator has no Zicond and Zvfh: generic code for the same 256-bit vectors is run"


def _scalar(model: str, remark: str = "") -> Emulator:
    return qemu_user("riscv64", model, "riscv64-linux-musl", remark=remark)


def _vector(bits: int) -> Emulator:
    """QEMU 7.2 cannot translate some code of vectors: kernels that it fails at are run without."""
    model = f"rv64,v=true,vlen={bits},elen=64,vext_spec=v1.0"
    return qemu_user("riscv64", model, "riscv64-linux-musl", otherwise="rv64gc")


def _core(
    name: str, cpu: str, features: str, emulator: Emulator, *, vector_bits: int, f16_conversion: bool = False
) -> Target:
    return Target(
        name=name,
        isa="riscv64",
        triple="riscv64-unknown-linux-gnu",
        cpu=cpu,
        features=features,
        abi="lp64d",
        vector_bits=vector_bits,
        vector_registers=32 if vector_bits else 0,
        fma=True,
        masked_memory=vector_bits > 0,
        gather=vector_bits > 0,
        f16_conversion=f16_conversion,
        emulator=emulator,
    )


_BASELINE = _core("rv64gc", "generic-rv64", _GC, _scalar("rv64,v=false"), vector_bits=0)

INSTRUCTION_SET = InstructionSet(
    "riscv64",
    (
        _BASELINE,
        _core("rv64gcv", "generic-rv64", f"{_GC},+v", _vector(128), vector_bits=128),
        _core("rv64gcv-256", "generic-rv64", f"{_GC},+v,+zvl256b", _vector(256), vector_bits=256),
        _core("sifive-u74", "sifive-u74", _GC, _scalar("sifive-u54", sister("SiFive U54")), vector_bits=0),
        _core(
            "sifive-p550",
            "sifive-p550",
            f"{_GC},+zba,+zbb",
            _scalar("rv64,v=false,zba=true,zbb=true"),
            vector_bits=0,
        ),
        _core(
            "spacemit-x60",
            "spacemit-x60",
            "+v,+zvl256b",
            replace(_vector(256), runs="rv64gcv-256", remark=_NO_ZICOND),
            vector_bits=256,
            f16_conversion=True,
        ),
    ),
    host=_BASELINE,
    program_counter=176,
)

"""64-bit RISC-V. Vectors of a fixed length are lowered to the vector extension; `zvl<N>b` in the
features tells LLVM how many bits a register has at least."""

from __future__ import annotations

from .target import Target

ISA = "riscv64"
TRIPLE = "riscv64-unknown-linux-gnu"
_GC = "+m,+a,+f,+d,+c,+zicsr,+zifencei"


def _core(name: str, cpu: str, features: str, *, vector_bits: int, f16_conversion: bool = False) -> Target:
    return Target(
        name=name,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        features=features,
        abi="lp64d",
        vector_bits=vector_bits,
        vector_registers=32 if vector_bits else 0,
        fma=True,
        masked_memory=vector_bits > 0,
        gather=vector_bits > 0,
        f16_conversion=f16_conversion,
    )


TARGETS: tuple[Target, ...] = (
    _core("rv64gc", "generic-rv64", _GC, vector_bits=0),
    _core("rv64gcv", "generic-rv64", f"{_GC},+v", vector_bits=128),
    _core("rv64gcv-256", "generic-rv64", f"{_GC},+v,+zvl256b", vector_bits=256),
    _core("sifive-u74", "sifive-u74", _GC, vector_bits=0),
    _core("sifive-p550", "sifive-p550", f"{_GC},+zba,+zbb", vector_bits=0),
    _core("spacemit-x60", "spacemit-x60", "+v,+zvl256b", vector_bits=256, f16_conversion=True),
)

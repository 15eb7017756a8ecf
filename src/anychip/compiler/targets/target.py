"""What code generation must know of an instruction set. One small file per ISA fills it in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A processor that LLVM can compile for, and the facts that choose between ways to lower.

    `vector_bits` is the width of one vector register (0: no vector unit, scalars are used);
    `vector_registers` their number. The flags say whether the instruction exists, so that LLVM
    does not have to take it apart lane by lane. `truncating_masked_stores`: LLVM fuses a truncation into a
    masked store, which LLVM 22 gets wrong for a constant mask of one lane. `wrong_nan_tests`: LLVM 22 inverts
    comparisons of floating vectors as if there were no NaN, so that tests for NaN must be of integers.
    `scalable_bits`: the length that scalable vector registers (SVE) are taken to have (0: they are not
    used). `f64`: double precision is in hardware. `cache_bytes`: the cache of one core that what is used
    over and over should fit into.
    """

    name: str
    isa: str
    triple: str
    cpu: str
    features: str = ""
    abi: str = ""
    pointer_bits: int = 64
    vector_bits: int = 128
    vector_registers: int = 16
    fma: bool = False
    masked_memory: bool = False
    gather: bool = False
    f16_conversion: bool = False
    bf16_dot: bool = False
    int8_dot: bool = False
    big_endian: bool = False
    scale_by_power: bool = False
    table_lookup: bool = False
    truncating_masked_stores: bool = False
    wrong_nan_tests: bool = False
    scalable_bits: int = 0
    f64: bool = True
    cache_bytes: int = 1 << 20

    def lanes(self, bits: int) -> int:
        """Elements of `bits` width in one vector register; 1 without a vector unit."""
        return max(1, self.vector_bits // bits)

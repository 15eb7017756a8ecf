"""What must be known of a processor to make code for it. One small file per instruction set fills it in."""

from __future__ import annotations

from dataclasses import dataclass

from .dot_product import DotProduct
from .emulator import Emulator


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

    `rounding`, `table_lookup` and `clock` name functions of LLVM's, the first two where they are one
    instruction (else empty). `rounding` rounds to the nearest integer, ties to even, and `llvm.floor`,
    `llvm.ceil` and `llvm.trunc` are then one as well; `table_lookup` picks each of 16 lanes of f32 among
    those of a register; `clock` reads a counter that only grows. `dots`: instructions for products of small
    numbers, at most one for each element type. `byte_pairs` and `word_pairs` name the functions for a whole
    register that multiply neighbours and add two: bytes (unsigned by signed) to saturated 16 bits, and 16
    bits to 32.

    `half_from` and `jitlink_from` are the first major versions of LLVM that compile numbers of type `half`
    for the target, and that link its objects by JITLink (0: all that are supported). `emulator`: what runs
    its code on other machines, None where nothing does.
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
    big_endian: bool = False
    scale_by_power: bool = False
    truncating_masked_stores: bool = False
    wrong_nan_tests: bool = False
    scalable_bits: int = 0
    f64: bool = True
    cache_bytes: int = 1 << 20
    rounding: str = ""
    table_lookup: str = ""
    dots: tuple[DotProduct, ...] = ()
    byte_pairs: str = ""
    word_pairs: str = ""
    clock: str = "llvm.readsteadycounter"
    half_from: int = 0
    jitlink_from: int = 0
    emulator: Emulator | None = None

    def lanes(self, bits: int) -> int:
        """Elements of `bits` width in one vector register; 1 without a vector unit."""
        return max(1, self.vector_bits // bits)

    def dot(self, element: str) -> DotProduct | None:
        """The instruction for products of `element` ("bf16", "i8"); None where there is none."""
        return next((dot for dot in self.dots if dot.element == element), None)

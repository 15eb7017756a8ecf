"""WebAssembly: with the 128-bit vectors every current browser has, with relaxed SIMD, and without.

Only relaxed SIMD has a fused multiply-add, and an engine may round its result either way: `fma`
stays off, and code that needs one calls the C library's.
"""

from __future__ import annotations

from ..emulator import ENGINE, Emulator
from ..instruction_set import InstructionSet
from ..target import Target

_BULK = "+bulk-memory,+sign-ext,+nontrapping-fptoint"


def _engine(name: str, features: str, vector_bits: int) -> Target:
    return Target(
        name=name,
        isa="wasm32",
        triple="wasm32-unknown-unknown",
        cpu="generic",
        features=features,
        pointer_bits=32,
        vector_bits=vector_bits,
        vector_registers=16 if vector_bits else 0,
        rounding="llvm.roundeven",
        emulator=Emulator(ENGINE, "wasm32-wasi", program="wasm32"),
    )


INSTRUCTION_SET = InstructionSet(
    "wasm32", (_engine("wasm32", f"{_BULK},+simd128", 128), _engine("wasm32-scalar", _BULK, 0))
)

"""What it costs to evaluate an operation again for one element, in simple vector instructions.

Values that are cheap are recomputed wherever they are needed; dear ones get a buffer.
"""

from __future__ import annotations

from ..analysis.structure import Structure, identity_point
from ..ir.core import Op, Value
from ..ir.types import PointerType, ScalarType

BUFFER_READ = 1.0
GATHER = 24.0
WORTH_A_BUFFER = 6.0
"""A value needed in two places is kept when recomputing costs more than this."""

_FREE = frozenset(
    {
        "tt.splat",
        "tt.make_range",
        "tt.expand_dims",
        "tt.broadcast",
        "tt.reshape",
        "tt.trans",
        "tt.addptr",
        "tt.bitcast",
        "tt.int_to_ptr",
        "tt.ptr_to_int",
        "arith.constant",
        "arith.extsi",
        "arith.extui",
        "arith.trunci",
        "arith.index_cast",
        "arith.bitcast",
        "tt.split",
        "tt.unsplat",
        "ub.poison",
    }
)

_COSTS = {
    "arith.divf": 4.0,
    "tt.precise_divf": 4.0,
    "tt.precise_sqrt": 6.0,
    "math.sqrt": 6.0,
    "math.rsqrt": 8.0,
    "arith.divsi": 16.0,
    "arith.divui": 16.0,
    "arith.remsi": 16.0,
    "arith.remui": 16.0,
    "arith.remf": 24.0,
    "tt.mulhiui": 4.0,
    "tt.gather": GATHER,
    "tt.extern_elementwise": 16.0,
    "tt.reduce": 2.0,
    "tt.fp_to_fp": 6.0,
    "math.absf": 1.0,
    "math.absi": 1.0,
    "math.fma": 1.0,
    "math.floor": 1.0,
    "math.ceil": 1.0,
    "tt.join": 2.0,
    "tt.cat": 2.0,
    "tt.load": 2.0,
    "arith.truncf": 2.0,
    "arith.extf": 1.0,
}


def own_cost(op: Op, structure: Structure) -> float:
    """The cost of `op` itself, without its operands."""
    if op.name in _FREE:
        return 0.0
    if op.name == "tt.load":
        return _load_cost(op.operands[0], structure)
    if op.name in ("arith.addi", "arith.subi", "arith.muli"):
        return 0.25
    if op.name in _DIVISIONS and _is_chunk_linear(op, structure):
        return 0.5
    if op.name in _COSTS:
        return _COSTS[op.name]
    return 16.0 if op.name.startswith("math.") else 1.0


_DIVISIONS = frozenset({"arith.divsi", "arith.divui", "arith.remsi", "arith.remui"})


def _is_chunk_linear(op: Op, structure: Structure) -> bool:
    """Whether a division is of an index by a scalar: code generation does it once for a chunk."""
    index, divisor = op.operands
    point = identity_point(len(index.shape))
    linear = structure.of(index, point, len(index.shape))
    return (
        all(s is not None for s in linear.strides)
        and structure.of(divisor, point, len(index.shape)).is_uniform
    )


def _load_cost(pointer: Value, structure: Structure) -> float:
    linear = structure.of(pointer, identity_point(len(pointer.shape)), len(pointer.shape))
    return _COSTS["tt.load"] if all(s is not None for s in linear.strides) else GATHER


def compute_bits(value: Value) -> int:
    """The width in which a value's element is computed: small floats are widened to f32."""
    element = value.element
    if isinstance(element, PointerType):
        return 0
    assert isinstance(element, ScalarType)
    return max(32, element.bits) if element.is_float else element.bits

"""How many chunks the body of a nest handles at a time: enough to hide latencies and the cost of asking
for masks, few enough for registers and code size."""

from __future__ import annotations

import math

from ..ir.core import Value
from ..ir.types import PointerType
from ..targets.target import Target
from .axes import nest_values, walk_inline
from .choices import Choices
from .cost import compute_bits
from .steps import Buffer, Nest, PerElement, Reduce

REDUCING = 4
"""Chunks in the body of a nest that reduces: independent accumulators hide the latency of adding."""

SHORT, SHORTER = 12, 6
"""Operations a chunk below which the body has two chunks, and four."""

BODY_OPERATIONS = 128
"""The body of a nest that carries tiles in registers has at most about so many operations."""


def choose_unroll(nest: Nest, buffers: dict[Value, Buffer], target: Target, choices: Choices) -> None:
    """Fill in `nest.unroll`."""
    chunks = chunks_of(nest)
    if any(isinstance(root, PerElement) for root in nest.roots):
        nest.unroll = 1
    elif choices.unroll:
        nest.unroll = min(choices.unroll, chunks)
    elif nest.loop is not None:
        wanted = max(1, target.vector_registers // 2 // registers_of(nest, target))
        operations = operations_of(nest, buffers)
        wanted = 1 << wanted.bit_length() - 1
        while wanted > REDUCING and wanted * operations > BODY_OPERATIONS:
            wanted //= 2
        if wanted < math.prod(nest.domain) // nest.lanes:
            wanted = min(wanted, 2 * REDUCING)
        nest.unroll = min(wanted, chunks)
    elif any(isinstance(root, Reduce) for root in nest.roots):
        nest.unroll = min(REDUCING, chunks)
    else:
        operations = operations_of(nest, buffers)
        nest.unroll = min(4 if operations <= SHORTER else 2 if operations <= SHORT else 1, chunks)


def chunks_of(nest: Nest) -> int:
    """Chunks along the vector axis."""
    return nest.domain[nest.vector_axis] // nest.lane_extents[nest.vector_axis] if nest.domain else 1


def registers_of(nest: Nest, target: Target) -> int:
    """Vector registers that a chunk of the tiles carried by the nest's loop fills."""
    assert nest.loop is not None
    most = 1
    for loop in nest.loop.loops():
        tiles = [a for a in loop.op.regions[0].entry.args[1:] if a.shape]
        most = max(most, sum(_registers(a, nest.lanes, target) for a in tiles))
    return most


def _registers(value: Value, lanes: int, target: Target) -> int:
    bits = 64 if isinstance(value.element, PointerType) else compute_bits(value)
    return max(1, -(-bits * lanes // max(target.vector_bits, bits)))


_FREE = frozenset(
    {
        "tt.splat",
        "tt.make_range",
        "tt.expand_dims",
        "tt.broadcast",
        "tt.reshape",
        "tt.trans",
        "tt.addptr",
        "arith.constant",
        "arith.cmpi",
        "arith.extsi",
    }
)
"""What is usually done once for a chunk, on scalars."""


def operations_of(nest: Nest, buffers: dict[Value, Buffer]) -> int:
    """Vector operations of one chunk, about."""
    found = walk_inline(nest_values(nest), len(nest.domain), lambda v: v in buffers)
    total = 0
    for value, _, leaf in found:
        op = value.defining_op
        if leaf or op is None:
            total += 1
        elif op.name.startswith("math.") or op.name == "tt.extern_elementwise":
            total += 16
        elif op.name not in _FREE:
            total += 1
    return total

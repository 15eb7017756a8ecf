"""The two operations of our own that sorting networks become.

Element i of an `anychip.exchange` is the operand's element `(i & keep) ^ flip` along `axis`; `inside`: both
are in one chunk of lanes. `anychip.keep` has no result: its operands are in memory from there on, and one
nest makes them.
"""

from __future__ import annotations

from ..ir.core import Op

EXCHANGE = "anychip.exchange"
KEEP = "anychip.keep"


def changed_bits(op: Op) -> int:
    """The bits of the index along its axis in which an exchange may lead elsewhere."""
    size = op.result.shape[op.attrs["axis"]]
    return (size - 1 & ~op.attrs["keep"]) | op.attrs["flip"]


def is_elementwise(op: Op) -> bool:
    """Whether each element of the results comes from the operands' elements at the same index."""
    return (
        (op.name.startswith(("arith.", "math.")) or op.name in ("tt.bitcast", "tt.fp_to_fp", "tt.clampf"))
        and not op.regions
        and bool(op.operands)
        and bool(op.results)
        and bool(op.results[0].shape)
        and all(v.shape in ((), op.results[0].shape) for v in op.operands)
    )

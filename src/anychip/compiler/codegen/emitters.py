"""All emitters: this file imports those that register one, for a step or for an operation."""

from __future__ import annotations

from . import (
    accesses,
    byte_products,
    conditions,
    constants,
    dot,
    exchange,
    graphs,
    index_arithmetic,
    loops,
    moves,
    nests,
    products,
    regions,
    scalars,
    scan,
    sweeps,
)
from .dispatch import emit

__all__ = [
    "accesses",
    "byte_products",
    "conditions",
    "constants",
    "dot",
    "emit",
    "exchange",
    "graphs",
    "index_arithmetic",
    "loops",
    "moves",
    "nests",
    "products",
    "regions",
    "scalars",
    "scan",
    "sweeps",
]

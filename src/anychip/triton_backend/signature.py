"""Triton's argument signatures as trees of slot kinds that the runtime packs.

In: the values of a kernel's signature ("*fp32", "i32", "constexpr", tuples, descriptors).
Out: for each argument a `Slot`, `SKIP`, a tuple of these, or a `Descriptor`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..runtime.errors import ArgumentError
from ..runtime.slots import SKIP, Descriptor, Node, Slot

SLOTS: dict[str, Slot] = {
    "i1": Slot.BOOL,
    "u1": Slot.BOOL,
    "i8": Slot.INT,
    "i16": Slot.INT,
    "i32": Slot.INT,
    "i64": Slot.INT,
    "u8": Slot.INT,
    "u16": Slot.INT,
    "u32": Slot.INT,
    "u64": Slot.INT,
    "fp16": Slot.F16,
    "f16": Slot.F16,
    "bf16": Slot.BF16,
    "fp32": Slot.F32,
    "f32": Slot.F32,
    "fp64": Slot.F64,
    "f64": Slot.F64,
}
"""Triton's type names -> how the value is put into its slot."""


def slot_tree(signature: Iterable[Any]) -> tuple[Node, ...]:
    """How each argument of a launch is packed. Raises `ArgumentError` for an unknown type."""
    return tuple(_node(entry) for entry in signature)


def _node(entry: Any) -> Node:
    if isinstance(entry, tuple):
        return tuple(_node(inner) for inner in entry)
    if entry == "constexpr":
        return SKIP
    if entry.startswith(("*", "!tt.ptr")):
        return Slot.POINTER
    if entry.startswith("tensordesc"):
        return Descriptor(_rank(entry))
    if entry in SLOTS:
        return SLOTS[entry]
    raise ArgumentError(
        f"the kernel's signature has the argument type {entry!r}, which a CPU launch cannot pass; "
        f"known are pointers, tensor descriptors and {', '.join(SLOTS)}"
    )


def _rank(descriptor: str) -> int:
    shape = re.search(r"\[([^\]]*)\]", descriptor)
    return shape.group(1).count(",") + 1 if shape else 1

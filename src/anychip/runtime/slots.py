"""Packing of launch arguments into the kernel ABI's 8-byte slots, in Python.

In: a tree that says how each argument is packed, and the arguments. Out: 64-bit integers, one
for each slot. The native launcher does the same for the kinds it knows; this is the reference,
and the way for the rest (descriptors, and interpreters without the native launcher).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from .errors import ArgumentError

MASK64: Final = (1 << 64) - 1


class Slot(IntEnum):
    """How one value is put into one slot. The numbers are the native launcher's opcodes, of which those that
    are 0 modulo 8 are no values: `SKIP`, and `TUPLE` for the values of a tuple (see `opcodes`)."""

    SKIP = 0
    POINTER = 1
    INT = 2
    BOOL = 3
    F16 = 4
    BF16 = 5
    F32 = 6
    F64 = 7
    TUPLE = 8


SKIP: Final = Slot.SKIP


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A host tensor descriptor, which Triton's passes take apart into base pointer, shape and
    strides (i64), padding and rounding flags, shape (i32) and strides (i64) again."""

    rank: int

    @property
    def slots(self) -> int:
        """Slots without the rounding flag, which older versions of Triton lack."""
        return 2 + 4 * self.rank


Node = Slot | Descriptor | tuple["Node", ...]


def pointer_bits(value: Any) -> int:
    """The address behind a pointer argument: a tensor, an address, or None.

    Raises `ArgumentError` for memory that the CPU cannot reach and for other objects.
    """
    if value is None:
        return 0
    if isinstance(value, int):
        return value & MASK64
    if getattr(value, "is_cpu", True) is False:
        raise ArgumentError(
            f"a CPU kernel was given a pointer to memory on {getattr(value, 'device', 'another device')}; "
            'move the tensor first, e.g. with .to("cpu")'
        )
    data_ptr = getattr(value, "data_ptr", None)
    if data_ptr is None:
        raise ArgumentError(
            f"a pointer argument must be a tensor (an object with data_ptr()), an address or None, "
            f"not {type(value).__name__}"
        )
    return int(data_ptr()) & MASK64


def integer_bits(value: Any) -> int:
    """An integer in two's complement, sign-extended to 64 bits."""
    try:
        return value.__index__() & MASK64
    except AttributeError:
        raise ArgumentError(f"an integer argument got {value!r} of type {type(value).__name__}") from None


def _f16(value: Any) -> int:
    try:
        return struct.unpack("<H", struct.pack("<e", value))[0]
    except OverflowError:
        return 0x7C00 if value > 0 else 0xFC00


def _f32(value: Any) -> int:
    try:
        return struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        return 0x7F800000 if value > 0 else 0xFF800000


def _bf16(value: Any) -> int:
    bits = _f32(value)
    if bits & 0x7FFFFFFF > 0x7F800000:
        return (bits >> 16) | 0x40
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def _f64(value: Any) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def _float(pack: Callable[[Any], int]) -> Callable[[Any], int]:
    def bits(value: Any) -> int:
        if not hasattr(value, "__float__"):
            raise ArgumentError(f"a floating-point argument got {value!r} of type {type(value).__name__}")
        return pack(float(value))

    return bits


PACKERS: dict[Slot, Callable[[Any], int]] = {
    Slot.POINTER: pointer_bits,
    Slot.INT: integer_bits,
    Slot.BOOL: lambda value: int(bool(value)),
    Slot.F16: _float(_f16),
    Slot.BF16: _float(_bf16),
    Slot.F32: _float(_f32),
    Slot.F64: _float(_f64),
}


def count(nodes: Sequence[Node]) -> int:
    """Slots of a tree, descriptors counted without the rounding flag."""
    return sum(
        count(node)
        if isinstance(node, tuple)
        else node.slots
        if isinstance(node, Descriptor)
        else int(node is not SKIP)
        for node in nodes
    )


MOST_VALUES: Final = 255
"""Values of a tuple that the native launcher takes apart: their number is a byte."""


class Opcodes(NamedTuple):
    """How the native launcher packs `parameters` arguments into `slots`: the first `packed` of them, as all
    others are constants. `codes` has a byte for each of these; then, for each tuple among them, how many
    values it has, and a byte for each of those."""

    parameters: int
    packed: int
    slots: int
    codes: bytes


def opcodes(nodes: Sequence[Node]) -> Opcodes | None:
    """What the native launcher is told of a tree. None where there is what only Python packs: descriptors,
    tuples in tuples, and tuples of more than 255 values."""
    outer, inner = bytearray(), bytearray()
    for node in nodes:
        if isinstance(node, Slot):
            outer.append(node)
        elif isinstance(node, tuple):
            values = [value for value in node if isinstance(value, Slot)]
            if len(values) < len(node) or len(values) > MOST_VALUES:
                return None
            outer.append(Slot.TUPLE)
            inner += bytes((len(values), *values))
        else:
            return None
    packed = outer.rstrip(bytes((Slot.SKIP,)))
    return Opcodes(len(nodes), len(packed), count(nodes), bytes(packed + inner))


def descriptors(nodes: Sequence[Node]) -> int:
    """Number of descriptors in a tree."""
    return sum(
        descriptors(node) if isinstance(node, tuple) else int(isinstance(node, Descriptor)) for node in nodes
    )


def pack(nodes: Sequence[Node], arguments: Sequence[Any], rounding_flag: bool, slots: list[int]) -> list[int]:
    """Append the slots of `arguments`, which match `nodes` one by one, to `slots`.

    `rounding_flag` says whether descriptors carry the flag for rounding to tf32. Raises
    `ArgumentError` when a value does not fit its slot.
    """
    if len(nodes) != len(arguments):
        raise ArgumentError(f"{len(arguments)} arguments were given for {len(nodes)} parameters")
    for node, argument in zip(nodes, arguments):
        if isinstance(node, tuple):
            if not isinstance(argument, tuple):
                raise ArgumentError(
                    f"a tuple of {len(node)} values is wanted, and {argument!r} of type "
                    f"{type(argument).__name__} was given"
                )
            pack(node, argument, rounding_flag, slots)
        elif isinstance(node, Descriptor):
            slots.extend(descriptor_slots(argument, rounding_flag))
        elif node is not SKIP:
            slots.append(PACKERS[node](argument))
    return slots


def descriptor_slots(descriptor: Any, rounding_flag: bool) -> list[int]:
    """The slots of one host tensor descriptor."""
    shape = [integer_bits(size) for size in descriptor.shape]
    strides = [integer_bits(stride) for stride in descriptor.strides]
    flags = [int(descriptor.padding == "nan")]
    if rounding_flag:
        flags.append(int(bool(getattr(descriptor, "round_f32_to_tf32", False))))
    return [pointer_bits(descriptor.base), *shape, *strides, *flags, *shape, *strides]


def pointers(
    nodes: Sequence[Node], arguments: Sequence[Any], rounding_flag: bool, first: int = 0
) -> list[tuple[int, Any]]:
    """The slots that `pack` fills with addresses, counted from `first`, each with the object whose
    address it is."""
    found: list[tuple[int, Any]] = []
    slot = first
    for node, argument in zip(nodes, arguments):
        if isinstance(node, tuple):
            found += pointers(node, argument, rounding_flag, slot)
            slot += count(node) + descriptors(node) * rounding_flag
        elif isinstance(node, Descriptor):
            found.append((slot, argument.base))
            slot += node.slots + rounding_flag
        elif node is not SKIP:
            if node is Slot.POINTER:
                found.append((slot, argument))
            slot += 1
    return found

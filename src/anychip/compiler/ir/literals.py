"""Types and floating-point bit patterns as TTIR spells them.

In: one token, or the bits of a constant. Out: a type of `types.py`, or the value of the bits as a Python
float.
"""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache

from .types import I64, SCALAR_TYPES, PointerType, ScalarType, TileType, Type

_SHAPE = re.compile(r"((?:[0-9]{1,19}x)*)(.+)", re.DOTALL)


@lru_cache(maxsize=8192)
def parse_type(text: str) -> Type | None:
    """The type that `text` (one token) spells, or None when it is no type."""
    scalar = SCALAR_TYPES.get(text)
    if scalar is not None:
        return scalar
    if text == "index":
        return I64
    if text.startswith("tensor<") and text.endswith(">"):
        matched = _SHAPE.fullmatch(text[7:-1])
        if matched is None:
            return None
        shape = tuple(int(extent) for extent in matched.group(1).split("x")[:-1])
        element = parse_type(matched.group(2).strip())
        if element is None or isinstance(element, TileType):
            return None
        return TileType(shape, element)
    if text.startswith("!tt.ptr<") and text.endswith(">"):
        inner, _, space = text[8:-1].partition(",")
        space = space.strip()
        pointee = parse_type(inner.strip())
        if not isinstance(pointee, (ScalarType, PointerType)) or (
            space and not re.fullmatch("[0-9]{1,9}", space)
        ):
            return None
        return PointerType(pointee, int(space) if space else 1)
    if re.fullmatch(r"[su]i(8|16|32|64)", text):
        return SCALAR_TYPES[text[1:]]
    return None


_FLOAT_FORMATS = {"f16": ("<H", "<e"), "f32": ("<I", "<f"), "f64": ("<Q", "<d")}

_Small = tuple[int, int, int, str]
_SMALL_FLOATS: dict[str, _Small] = {  # exponent bits, mantissa bits, bias, special values
    "f8E5M2": (5, 2, 15, "ieee"),
    "f8E4M3FN": (4, 3, 7, "fn"),
    "f8E5M2FNUZ": (5, 2, 16, "fnuz"),
    "f8E4M3FNUZ": (4, 3, 8, "fnuz"),
    "f8E4M3B11FNUZ": (4, 3, 11, "fnuz"),
}
"""The 8-bit formats, as MLIR's builtin types document them: `ieee` has infinities and NaNs, `fn` a NaN with
all bits set, `fnuz` one NaN in the place of the negative zero."""


def float_of_bits(bits: int, type: ScalarType) -> float:
    """The value of the bit pattern `bits` of a floating-point `type`."""
    if type.name in _FLOAT_FORMATS:
        packed, unpacked = _FLOAT_FORMATS[type.name]
        return struct.unpack(unpacked, struct.pack(packed, bits))[0]
    if type.name == "bf16":
        return struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    exponent_bits, mantissa_bits, bias, special = _SMALL_FLOATS[type.name]
    sign = -1.0 if bits >> 7 else 1.0
    exponent = bits >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = bits & (1 << mantissa_bits) - 1
    if special == "ieee" and exponent == (1 << exponent_bits) - 1:
        return math.nan if mantissa else sign * math.inf
    if (special == "fn" and bits & 0x7F == 0x7F) or (special == "fnuz" and bits == 0x80):
        return math.nan
    if exponent == 0:
        return sign * math.ldexp(mantissa, 1 - bias - mantissa_bits)
    return sign * math.ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits)

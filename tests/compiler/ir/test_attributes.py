"""Types and constants of TTIR text mean what PyTorch says the bit patterns mean."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anychip.compiler.errors import ParseError
from anychip.compiler.ir.attributes import AttributeParser, float_of_bits, parse_type
from anychip.compiler.ir.types import SCALAR_TYPES, PointerType, TileType

TORCH_TYPES = {
    "f8E5M2": torch.float8_e5m2,
    "f8E4M3FN": torch.float8_e4m3fn,
    "f8E5M2FNUZ": torch.float8_e5m2fnuz,
    "f8E4M3FNUZ": torch.float8_e4m3fnuz,
}


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))


@pytest.mark.parametrize("name", TORCH_TYPES)
def test_every_8_bit_float(name: str) -> None:
    bits = torch.arange(256).to(torch.uint8)
    wanted = bits.view(TORCH_TYPES[name]).to(torch.float64).tolist()
    found = [float_of_bits(code, SCALAR_TYPES[name]) for code in range(256)]
    assert [code for code in range(256) if not _same(found[code], wanted[code])] == []


def test_e4m3b11fnuz_at_the_points_that_define_it() -> None:
    """OCP-like format with bias 11: largest 30, smallest normal 2^-10, smallest 2^-13, one NaN."""
    type = SCALAR_TYPES["f8E4M3B11FNUZ"]
    values = {0x7F: 30.0, 0x08: 2.0**-10, 0x01: 2.0**-13, 0x00: 0.0, 0x58: 1.0, 0xD8: -1.0}
    assert {code: float_of_bits(code, type) for code in values} == values
    assert math.isnan(float_of_bits(0x80, type))


@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_every_16_bit_float(name: str) -> None:
    torch_type = torch.float16 if name == "f16" else torch.bfloat16
    bits = torch.arange(1 << 16).to(torch.uint16)
    wanted = bits.view(torch_type).to(torch.float64).tolist()
    assert all(_same(float_of_bits(code, SCALAR_TYPES[name]), wanted[code]) for code in range(1 << 16))


@given(st.floats(width=32))
def test_f32_bits(value: float) -> None:
    bits = int(torch.tensor([value], dtype=torch.float32).view(torch.int32)) & 0xFFFFFFFF
    assert _same(float_of_bits(bits, SCALAR_TYPES["f32"]), value)


@given(st.floats())
def test_f64_as_hexadecimal_text(value: float) -> None:
    bits = int(torch.tensor([value], dtype=torch.float64).view(torch.int64)) & 0xFFFFFFFFFFFFFFFF
    assert _same(AttributeParser(f"0x{bits:016X} : f64").attribute(), value)


@given(st.integers(-(2**31), 2**32 - 1))
def test_i32_is_signed(value: int) -> None:
    wrapped = (value + 2**31) % 2**32 - 2**31
    assert AttributeParser(f"{value} : i32").attribute() == wrapped


TYPES = {
    "i1": SCALAR_TYPES["i1"],
    "index": SCALAR_TYPES["i64"],
    "ui8": SCALAR_TYPES["i8"],
    "!tt.ptr<f32>": PointerType(SCALAR_TYPES["f32"]),
    "!tt.ptr<f16, 3>": PointerType(SCALAR_TYPES["f16"], 3),
    "!tt.ptr<!tt.ptr<i8>>": PointerType(PointerType(SCALAR_TYPES["i8"])),
    "tensor<f32>": TileType((), SCALAR_TYPES["f32"]),
    "tensor<1x2x4xi8>": TileType((1, 2, 4), SCALAR_TYPES["i8"]),
    "tensor<64x1x!tt.ptr<f16>>": TileType((64, 1), PointerType(SCALAR_TYPES["f16"])),
    "tensor<8xf8E4M3B11FNUZ>": TileType((8,), SCALAR_TYPES["f8E4M3B11FNUZ"]),
}


@pytest.mark.parametrize("text", TYPES)
def test_type(text: str) -> None:
    assert parse_type(text) == TYPES[text]
    assert AttributeParser(text).type() == TYPES[text]


@pytest.mark.parametrize(
    "text",
    ["", "i7", "f33", "tensor<>", "tensor<8x>", "tensor<8xtensor<2xi8>>", "!tt.ptr<tensor<2xi8>>", "x"],
)
def test_no_type(text: str) -> None:
    assert parse_type(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("300 : i8", "does not fit"),
        ("-129 : i8", "does not fit"),
        ("1.5 : i32", "no value of i32"),
        ("0x1FFFF : f16", "does not fit"),
        ("9" * 6000, "not a number"),
        ("dense<[1, 2, 3]> : tensor<4xi32>", "3 values for the 4 elements"),
        ("dense<1> : i32", "cannot have the type"),
        ('dense<"0x01G"> : tensor<1xi32>', "not hexadecimal"),
        ('dense<"0x010203"> : tensor<1xi32>', "no whole number"),
        ("[" * 100, "nested more than"),
        ("dense<" + "[" * 100, "nested more than"),
        ("{a = " * 100, "nested more than"),
        ("array<tensor<2xi8>: 1>", "expected a scalar type"),
        (")", "expected an attribute"),
    ],
)
def test_bad_attribute(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        AttributeParser(text).attribute()

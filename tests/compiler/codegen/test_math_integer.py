"""Functions of integers against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.codegen.ulp import function


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def integers(bits: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 1000, f"int{bits}") >> rng.integers(
        0, bits, 1000
    )
    edges = [0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
    edges = edges if seed % 2 else edges[::-1]
    return np.concatenate([values, np.array(edges)]).astype(f"int{bits}")


def reverse(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


UNARY = {
    "clz": lambda u, bits: bits - u.bit_length(),
    "popc": lambda u, bits: u.bit_count(),
    "ffs": lambda u, bits: (u & -u).bit_length(),
}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", UNARY)
def test_bit_counts(name: str, bits: int):
    x = integers(bits, 1)
    got = function(name, f"i{bits}", "host", (), "i32")(x)
    assert got.tolist() == [UNARY[name](int(v) & ((1 << bits) - 1), bits) for v in x]


@pytest.mark.parametrize("bits", [32, 64])
def test_bit_reversal_and_absolute_value(bits: int):
    x = integers(bits, 1)
    mask = (1 << bits) - 1
    want = [signed(reverse(int(v) & mask, bits), bits) for v in x]
    assert function("brev", f"i{bits}", "host")(x).tolist() == want
    assert function("abs", f"i{bits}", "host")(x).tolist() == [signed(abs(int(v)), bits) for v in x]


@pytest.mark.parametrize("target", ["host", "baseline"])
@pytest.mark.parametrize("bits", [32, 64])
def test_high_products(bits: int, target: str):
    x, y = integers(bits, 1), integers(bits, 2)
    mask = (1 << bits) - 1
    pairs = [(int(a), int(b)) for a, b in zip(x, y)]
    types = [f"i{bits}"] * 2
    got = function("mulhi", f"i{bits}", target, types)(x, y)
    assert got.tolist() == [(a * b) >> bits for a, b in pairs]
    got = function("umulhi", f"i{bits}", target, types)(x, y)
    assert got.tolist() == [signed(((a & mask) * (b & mask)) >> bits, bits) for a, b in pairs]


U32 = 0xFFFFFFFF
BINARY = {
    "mul24": lambda a, b: signed(a, 24) * signed(b, 24),
    "umul24": lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF),
    "hadd": lambda a, b: (a + b) >> 1,
    "uhadd": lambda a, b: ((a & U32) + (b & U32)) >> 1,
    "rhadd": lambda a, b: (a + b + 1) >> 1,
    "urhadd": lambda a, b: ((a & U32) + (b & U32) + 1) >> 1,
}


@pytest.mark.parametrize("name", BINARY)
def test_averages_and_short_products(name: str):
    x, y = integers(32, 1), integers(32, 2)
    got = function(name, "i32", "host", ["i32"] * 2)(x, y)
    assert got.tolist() == [signed(BINARY[name](int(a), int(b)), 32) for a, b in zip(x, y)]


def test_sums_of_absolute_differences_and_byte_permutation():
    x, y, z = integers(32, 1), integers(32, 2), integers(32, 3)
    triples = [(int(a), int(b), int(c)) for a, b, c in zip(x, y, z)]
    types = ["i32"] * 3
    got = function("sad", "i32", "host", types)(x, y, z)
    assert got.tolist() == [signed(abs(a - b) + c, 32) for a, b, c in triples]
    got = function("usad", "i32", "host", types)(x, y, z)
    assert got.tolist() == [signed(abs((a & U32) - (b & U32)) + c, 32) for a, b, c in triples]

    def permuted(a: int, b: int, selector: int) -> int:
        source = (a & U32).to_bytes(4, "little") + (b & U32).to_bytes(4, "little")
        return int.from_bytes(bytes(source[(selector >> (4 * i)) & 7] for i in range(4)), "little")

    got = function("byte_perm", "i32", "host", types)(x, y, z)
    assert got.tolist() == [signed(permuted(a, b, c), 32) for a, b, c in triples]


def test_halves_of_a_double():
    high, low = integers(32, 1), integers(32, 2)
    got = function("hiloint2double", "i32", "host", ["i32"] * 2, "double")(high, low)
    assert np.array_equal(got.view(np.int64) >> 32, high)
    assert np.array_equal(function("double2hiint", "double", "host", (), "i32")(got), high)
    assert np.array_equal(function("double2loint", "double", "host", (), "i32")(got), low)

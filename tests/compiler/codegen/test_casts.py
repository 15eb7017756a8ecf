"""Number format conversions against PyTorch and NumPy, exhaustively where the format is small."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from tests.compiler.codegen.jit import TARGETS, compile_loop, loop_text

from anychip.compiler import targets as targets_module
from anychip.compiler.codegen import casts
from anychip.compiler.codegen.register_types import REGISTER_TYPES
from anychip.compiler.ir.types import SCALAR_TYPES
from anychip.compiler.targets import machine
from anychip.edge.symbols import read_symbols

TORCH = {
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8E5M2": torch.float8_e5m2,
    "f8E4M3FN": torch.float8_e4m3fn,
    "f8E5M2FNUZ": torch.float8_e5m2fnuz,
    "f8E4M3FNUZ": torch.float8_e4m3fnuz,
    "f32": torch.float32,
    "f64": torch.float64,
}
NARROW = [*casts.FORMATS]
FP8 = [name for name in NARROW if name.startswith("f8")]
targets = pytest.mark.parametrize("target", TARGETS)


def register(name: str) -> str:
    return REGISTER_TYPES.get(name, name)


@cache
def convert(src: str, dst: str, target: str, rounding: str = "rtne", lanes: int = 16):
    """Float to float conversion as a function of arrays."""

    def body(b, args):
        return casts.float_to_float(
            b, args[0], SCALAR_TYPES[src], SCALAR_TYPES[dst], TARGETS[target], rounding
        )

    return compile_loop(body, [register(src)], register(dst), lanes, TARGETS[target])


def codes(name: str) -> np.ndarray:
    """Every bit pattern of a narrow format, as it lies in a register."""
    bits = casts.FORMATS[name].bits
    patterns = np.arange(1 << bits, dtype=np.uint32).astype(np.uint16 if bits == 16 else np.uint8)
    return patterns.view(np.float16) if name == "f16" else patterns.view(np.int16 if bits == 16 else np.int8)


def decode(name: str, patterns: np.ndarray) -> np.ndarray:
    """The values of bit patterns in float32, by PyTorch (by arithmetic for the kind it lacks)."""
    if name == "f8E4M3B11FNUZ":
        code = patterns.view(np.uint8).astype(np.int64)
        exponent, mantissa = (code >> 3) & 15, code & 7
        value = np.where(exponent == 0, mantissa * 2.0**-17, (8 + mantissa) * 2.0 ** (exponent - 18.0))
        return np.copysign(value, np.where(code & 0x80, -1.0, 1.0)).astype(np.float32)
    return torch.from_numpy(patterns.copy()).view(TORCH[name]).to(torch.float32).numpy()


def f32_samples(count: int = 1 << 20) -> np.ndarray:
    """f32 values over the whole range, more of them near what 8 and 16 bits can hold."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32).view(np.float32)
    near = (rng.standard_normal(count) * 2.0 ** rng.integers(-30, 18, count)).astype(np.float32)
    with np.errstate(over="ignore"):
        halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = np.concatenate([halves * (1 + k * 2.0**-11) for k in (-1.001, -1, 0, 1, 1.001)]).astype(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65519.9, 65520, 65535, 3.4e38, 1e-45], np.float32)
    return np.concatenate([bits, near, ties, special])


def same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal values, equal signs of zero, NaN where NaN is."""
    nan = np.isnan(want)
    assert np.array_equal(np.isnan(got), nan)
    unequal = (got[~nan] != want[~nan]) | (np.signbit(got[~nan]) != np.signbit(want[~nan]))
    assert not unequal.any(), (got[~nan][unequal][:8], want[~nan][unequal][:8])


@targets
@pytest.mark.parametrize("name", NARROW)
def test_widening_is_exact_for_every_code(name: str, target: str):
    patterns = codes(name)
    same(convert(name, "f32", target)(patterns), decode(name, patterns))


@targets
@pytest.mark.parametrize("name", NARROW)
def test_widening_then_narrowing_gives_every_value_back(name: str, target: str):
    patterns = codes(name)
    values = decode(name, patterns)
    keep = np.isfinite(values)
    got = convert("f32", name, target)(values[keep])
    assert np.array_equal(got.view(np.uint8), patterns[keep].view(np.uint8))


@targets
@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_rounding_to_16_bits_matches_pytorch(name: str, target: str):
    values = f32_samples()
    want = torch.from_numpy(values).to(TORCH[name]).to(torch.float32).numpy()
    same(decode(name, convert("f32", name, target)(values)), want)


OVERFLOW = {
    "f8E5M2": np.inf, "f8E4M3FN": 448.0, "f8E5M2FNUZ": np.nan, "f8E4M3FNUZ": np.nan, "f8E4M3B11FNUZ": 1.875,
}  # fmt: skip
"""What magnitudes beyond the last tie become, infinity included, in PyTorch (the last kind is Triton's)."""


def nearest(name: str, values: np.ndarray) -> np.ndarray:
    """Values rounded to nearest even, from the sorted list of all codes and the step after the last."""
    finite = codes(name)[:128]
    grid = decode(name, finite).astype(np.float64)
    grid = grid[np.isfinite(grid)]
    grid = np.append(grid, 2 * grid[-1] - grid[-2])
    magnitude = np.minimum(np.abs(values.astype(np.float64)), grid[-1])
    above = np.searchsorted(grid, magnitude)
    above = np.where(np.isnan(values), 0, above)
    below = np.maximum(above - 1, 0)
    low, high = magnitude - grid[below], grid[above] - magnitude
    choice = np.where((low < high) | ((low == high) & (below % 2 == 0)), below, above)
    rounded = np.where(choice == len(grid) - 1, OVERFLOW[name], grid[choice])
    return np.where(np.isnan(values), np.nan, np.copysign(rounded, values))


@targets
@pytest.mark.parametrize("name", FP8)
def test_rounding_to_8_bits_is_nearest_even_and_overflows_by_the_rule(name: str, target: str):
    values = f32_samples()
    want = nearest(name, values)
    if casts.FORMATS[name].unsigned_zero:
        want = np.where(want == 0, 0.0, want)
    if name == "f8E4M3B11FNUZ":
        want = np.where(np.isnan(want), np.copysign(1.875, values), want)
    same(decode(name, convert("f32", name, target)(values)), want.astype(np.float32))


EDGES = (
    0.0, 2.0**-10, 2.0**-17, 3 * 2.0**-11, 1e-10, 239, 240, 247.9, 248, 448, 463.9, 464, 464.1, 465, 480,
    57344, 61439, 61440, 61441, 65504, 65536, 3e38, np.inf, np.nan,
)  # fmt: skip


@targets
@pytest.mark.parametrize("source", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("name", [name for name in FP8 if name in TORCH])
def test_every_bit_of_8_is_pytorchs(name: str, source: str, target: str):
    """Overflow, infinities, NaN with its sign, subnormals, ties; an odd count, so that PyTorch has a tail."""
    edges = np.array([*EDGES, *(-x for x in EDGES)])
    middles = np.abs(decode(name, codes(name)[:127]).astype(np.float64))
    middles = (middles[1:] + middles[:-1]) / 2
    beside = (np.nextafter(middles, 0), middles, np.nextafter(middles, np.inf))
    values = np.concatenate([edges, *beside, f32_samples(1 << 12).astype(np.float64)])
    x = torch.from_numpy(values).to(TORCH[source])
    registers = x.view(torch.int16).numpy() if source == "bf16" else x.numpy()
    want = x.to(TORCH[name]).view(torch.uint8).numpy()
    assert np.array_equal(convert(source, name, target)(registers).view(np.uint8), want)


@pytest.mark.parametrize("name", FP8)
def test_saturating_conversions_keep_to_the_largest_finite_value(name: str):
    """What instructions of GPUs call `satfinite`."""

    def body(b, args):
        return casts.narrow(b, args[0], SCALAR_TYPES[name], TARGETS["host"], saturate=True)

    values = np.array([np.inf, 1e30, 65536.0, 465.0, -np.inf, 1.0] + [0.0] * 10, np.float32)
    largest = decode(name, codes(name)[:128])
    largest = largest[np.isfinite(largest)].max()
    got = decode(name, compile_loop(body, ["float"], register(name), 16)(values))
    assert got[3] <= largest
    assert got[[0, 1, 2, 4, 5]].tolist() == [largest] * 3 + [-largest, 1]


@targets
@pytest.mark.parametrize("name", NARROW)
def test_rounding_towards_zero_never_passes_the_value(name: str, target: str):
    """Only infinities overflow."""
    values = f32_samples()
    values = values[~np.isnan(values)]
    got = decode(name, convert("f32", name, target, "rtz")(values)).astype(np.float64)
    grid = np.unique(np.abs(decode(name, codes(name))))
    grid = grid[np.isfinite(grid)].astype(np.float64)
    magnitude = np.abs(values.astype(np.float64))
    want = grid[np.searchsorted(grid, magnitude, side="right") - 1]
    want = np.where(np.isinf(values), OVERFLOW.get(name, np.inf), want)
    assert np.array_equal(np.abs(got), want, equal_nan=True)
    signed = (got != 0) & ~np.isnan(got)
    assert np.array_equal(np.signbit(got[signed]), np.signbit(values[signed]))


@targets
@pytest.mark.parametrize("name", [name for name in NARROW if not casts.FORMATS[name].through_f32])
def test_from_f64_rounds_once(name: str, target: str):
    """Values a hair beside the midpoint of two neighbours: through f32 they would become ties."""
    grid = np.unique(np.abs(decode(name, codes(name))))
    grid = grid[np.isfinite(grid)].astype(np.float64)
    middle = (grid[1:] + grid[:-1]) / 2
    below, above = np.nextafter(middle, 0), np.nextafter(middle, np.inf)
    convert64 = convert("f64", name, target)
    assert np.array_equal(decode(name, convert64(below)).astype(np.float64), grid[:-1])
    assert np.array_equal(decode(name, convert64(above)).astype(np.float64), grid[1:])


def test_f64_to_f32_towards_zero():
    rng = np.random.default_rng(3)
    values = rng.standard_normal(100_000) * 2.0 ** rng.integers(-160, 140, 100_000)
    got = convert("f64", "f32", "host", "rtz")(values)
    assert (np.abs(got.astype(np.float64)) <= np.abs(values)).all()
    with np.errstate(over="ignore"):
        following = np.nextafter(got, np.copysign(np.float32(np.inf), got)).astype(np.float64)
    assert (np.abs(following) > np.abs(values)).all()


@pytest.mark.parametrize("lanes", [1, 2, 8, 64])
def test_any_number_of_lanes(lanes: int):
    values = f32_samples(1000)
    for name in ("f16", "bf16", "f8E4M3FN"):
        whole = convert("f32", name, "host")(values)
        assert np.array_equal(
            convert("f32", name, "host", "rtne", lanes)(values).view(np.uint8), whole.view(np.uint8)
        )


INTEGERS = {"i8": torch.int8, "i16": torch.int16, "i32": torch.int32, "i64": torch.int64}


def integers(name: str, count: int = 100_000) -> np.ndarray:
    rng = np.random.default_rng(5)
    bits = int(name[1:])
    info = np.iinfo(f"int{bits}")
    values = rng.integers(info.min, info.max, count, f"int{bits}", endpoint=True) >> rng.integers(
        0, bits, count
    )
    edges = np.array([info.min, info.max, 0, 1, -1], f"int{bits}")
    return np.concatenate([values.astype(f"int{bits}"), edges])


@targets
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("dst", ["f16", "bf16", "f8E4M3FN", "f8E5M2", "f32", "f64"])
@pytest.mark.parametrize("src", INTEGERS)
def test_integers_round_once(src: str, dst: str, signed: bool, target: str):
    values = integers(src)

    def body(b, args):
        return casts.int_to_float(b, args[0], SCALAR_TYPES[src], SCALAR_TYPES[dst], signed, TARGETS[target])

    got = compile_loop(body, [src], register(dst), 8, TARGETS[target])(values)
    exact = values if signed else values.view(f"uint{src[1:]}")
    if dst in ("f32", "f64"):
        assert np.array_equal(got, exact.astype(got.dtype))
        return
    if dst in FP8:
        want = nearest(dst, np.clip(exact.astype(np.float64), -1e6, 1e6))
        want = np.where(exact == 0, 0.0, want)
    else:
        largest = {"f16": 65504, "bf16": 2**127 * (2 - 2**-7)}[dst]
        precision = {"f16": 11, "bf16": 8}[dst]
        want = np.array([round_integer(int(v), precision, largest) for v in exact[-20_000:]])
        got = got[-20_000:]
    assert np.array_equal(decode(dst, got).astype(np.float64), want)


def round_integer(value: int, precision: int, largest: float) -> float:
    """An integer rounded to `precision` bits, ties to even, by Python's integers."""
    drop = max(0, abs(value).bit_length() - precision)
    quotient, rest = abs(value) >> drop, abs(value) & ((1 << drop) - 1)
    half = (1 << drop) // 2
    if drop and (rest > half or (rest == half and quotient & 1)):
        quotient += 1
    magnitude = float(quotient << drop)
    return np.copysign(np.inf if magnitude > largest else magnitude, value or 1)


@targets
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("dst", INTEGERS)
@pytest.mark.parametrize("src", ["f32", "f64"])
def test_floats_to_integers_truncate_and_saturate(src: str, dst: str, signed: bool, target: str):
    bits = int(dst[1:])
    info = np.iinfo(f"int{bits}" if signed else f"uint{bits}")
    rng = np.random.default_rng(11)
    values = rng.standard_normal(20_000) * 2.0 ** rng.integers(-3, 70, 20_000)
    values = np.concatenate([values, [0.0, -0.0, 0.99, -0.99, np.inf, -np.inf, np.nan]])
    values = values.astype(np.float32 if src == "f32" else np.float64)

    def body(b, args):
        return casts.float_to_int(b, args[0], SCALAR_TYPES[src], SCALAR_TYPES[dst], signed, TARGETS[target])

    got = compile_loop(body, [register(src)], dst, 8, TARGETS[target])(values).view(info.dtype)
    want = [
        0 if v != v else info.max if v > info.max else info.min if v < info.min else int(v) for v in values
    ]
    assert [int(g) for g in got] == want


def test_float_to_bool_asks_for_not_zero():
    values = np.array([0.0, -0.0, 0.3, -2.0, np.nan, np.inf, 1e-45], np.float32)

    def body(b, args):
        return casts.float_to_int(b, args[0], SCALAR_TYPES["f32"], SCALAR_TYPES["i1"], False, TARGETS["host"])

    got = compile_loop(body, ["float"], "i1", 8)(values)
    assert got.tolist() == [False, False, True, True, True, True, True]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("dst", ["i1", *INTEGERS])
@pytest.mark.parametrize("src", ["i1", *INTEGERS])
def test_integers_wrap_and_extend(src: str, dst: str, signed: bool):
    def body(b, args):
        return casts.int_to_int(b, args[0], SCALAR_TYPES[src], SCALAR_TYPES[dst], signed, TARGETS["host"])

    values = np.array([False, True] * 8) if src == "i1" else integers(src, 1000)
    got = compile_loop(body, [src], dst, 8)(values)
    wide = (
        values.astype(np.int64) if signed or src == "i1" else values.view(f"uint{src[1:]}").astype(np.int64)
    )
    want = (wide & 1).astype(bool) if dst == "i1" else wide.astype(f"int{dst[1:]}")
    assert np.array_equal(got, want)


PAIRS = [
    ("bf16", "f32"), ("f32", "bf16"), ("f16", "bf16"), ("bf16", "f16"), ("bf16", "i32"), ("i32", "bf16"),
    ("f8E4M3FN", "bf16"), ("bf16", "f8E5M2"),
]  # fmt: skip
_KINDS = {
    (target.isa, target.vector_bits): name
    for name in reversed(targets_module.names())
    for target in (targets_module.get(name),)
}
ONE_OF_EACH_KIND = frozenset(_KINDS.values())
"""The first target of each instruction set and length of vectors."""
UNWINDING = "__aeabi_unwind_cpp_pr"
"""Arm's mark of functions that exceptions may pass, which kernels are not."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ONE_OF_EACH_KIND else pytest.mark.slow)
        for name in targets_module.names()
    ],
)
def test_conversions_of_bf16_call_no_library(name: str):
    """Vectors and tails, whatever the chip has: a bare-metal export links against nothing for them."""
    target = targets_module.get(name)
    for src, dst in PAIRS:
        kinds = SCALAR_TYPES[src], SCALAR_TYPES[dst]

        def body(b, args, kinds=kinds):
            if kinds[0].is_integer:
                return casts.int_to_float(b, args[0], kinds[0], kinds[1], True, target)
            if kinds[1].is_integer:
                return casts.float_to_int(b, args[0], kinds[0], kinds[1], True, target)
            return casts.float_to_float(b, args[0], kinds[0], kinds[1], target)

        for lanes in {1, target.lanes(32)}:
            text = loop_text(body, [register(src)], register(dst), lanes, target)
            undefined = read_symbols(machine.emit_object(text, target)).undefined
            assert not [u for u in undefined if not u.startswith(UNWINDING)], (src, dst, lanes)

"""Inline PTX against NumPy, instruction by instruction: as the PTX ISA has it, at edges and at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra.cuda.utils import convert_float16_to_fp8e4b15, convert_fp8e4b15_to_float16

from anychip.errors import AnychipError

SIZE = 128


SLOTS = 16


@triton.jit
def run(a, b, c, out, ASM: tl.constexpr, CONSTRAINTS: tl.constexpr, B: tl.constexpr):
    """The 32 bits of sixteen results of one assembly of three arguments."""
    i = tl.arange(0, B)
    arguments = [tl.load(a + i), tl.load(b + i), tl.load(c + i)]
    results = tl.inline_asm_elementwise(
        ASM,
        CONSTRAINTS,
        arguments,
        is_pure=True,
        pack=1,
        dtype=(
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
            tl.int32,
        ),
    )
    for k in tl.static_range(16):
        tl.store(out + k * B + i, results[k])


def check(rows, arguments, letter: str, out: str) -> None:
    """`rows`: instructions with `d`, `a`, `b`, `c` for their registers, and the expected values."""
    names = {"a": f"${SLOTS}", "b": f"${SLOTS + 1}", "c": f"${SLOTS + 2}"}
    lines = [f"mov.b32 ${k}, 0;" for k in range(len(rows), SLOTS)]
    for k, (text, _) in enumerate(rows):
        words = text.replace("{d}", f"${k}")
        for name, register in names.items():
            words = words.replace(f"{{{name}}}", register)
        lines.append(words + ";")
    constraints = ",".join([f"={out}"] * SLOTS + [letter] * 3)
    result = torch.zeros(SLOTS, SIZE, dtype=torch.int32)
    run[(1,)](*(torch.from_numpy(x.copy()) for x in arguments), result, "\n".join(lines), constraints, SIZE)
    assert not result[len(rows) :].any()
    for (text, want), got in zip(rows, result.numpy(), strict=False):
        if want.dtype.kind == "f":
            assert want.dtype == np.float32, text
            np.testing.assert_allclose(got.view(np.float32), want, rtol=4e-7, atol=1e-30, err_msg=text)
        else:
            np.testing.assert_array_equal(got, want.astype(np.int32), err_msg=text)


def integers() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    edges = np.array([0, 1, -1, 2**31 - 1, -(2**31), 31, 32, 33, 255, 0x80, 0x7F80FF01 - 2**32], np.int64)
    columns = []
    for _ in range(3):
        drawn = rng.integers(-(2**31), 2**31, SIZE) >> rng.integers(0, 31, SIZE)
        drawn[: len(edges)] = rng.permutation(edges)
        columns.append(drawn.astype(np.int32))
    return columns


def bits(count: int) -> int:
    return (1 << min(count, 32)) - 1


def each(function, *columns: np.ndarray) -> np.ndarray:
    """A function of Python's integers over unsigned 32-bit values, modulo 2^32."""
    rows = zip(*(x.view(np.uint32).tolist() for x in columns), strict=True)
    return np.array([function(*row) & 0xFFFFFFFF for row in rows], np.uint32).view(np.int32)


def signed(x: int, width: int = 32) -> int:
    x &= (1 << width) - 1
    return x - (1 << width) if x >> (width - 1) else x


def bfe(x: int, position: int, length: int, is_signed: bool) -> int:
    position, length = position & 255, length & 255
    top = signed(x) >> 31 & 1 if is_signed else 0
    last = min(position + length - 1, 31)
    fill = (x >> last & 1) if is_signed and length else 0
    return sum(
        ((x >> (position + k) & 1) if k < length and position + k <= 31 else fill if is_signed else top & 0)
        << k
        for k in range(32)
    )


def bfi(x: int, y: int, position: int, length: int) -> int:
    position, length = position & 255, length & 255
    for k in range(length):
        if position + k < 32:
            y = y & ~(1 << (position + k)) | (x >> k & 1 if k < 32 else 0) << (position + k)
    return y


def prmt(x: int, y: int, selector: int) -> int:
    both, total = y << 32 | x, 0
    for k in range(4):
        nibble = selector >> 4 * k & 15
        byte = both >> 8 * (nibble & 7) & 255
        total |= (255 * (byte >> 7) if nibble & 8 else byte) << 8 * k
    return total


def lop3(x: int, y: int, z: int, table: int) -> int:
    return sum((table >> ((x >> k & 1) << 2 | (y >> k & 1) << 1 | z >> k & 1) & 1) << k for k in range(32))


def dp4a(x: int, y: int, z: int, kinds: str) -> int:
    def byte(v: int, k: int, kind: str) -> int:
        v = v >> 8 * k & 255
        return signed(v, 8) if kind == "s" else v

    return z + sum(byte(x, k, kinds[0]) * byte(y, k, kinds[1]) for k in range(4))


def test_integers() -> None:
    a, b, c = integers()
    rows = [
        ("add.s32 {d}, {a}, {b}", each(lambda x, y: x + y, a, b)),
        ("sub.u32 {d}, {a}, 7", each(lambda x: x - 7, a)),
        ("mul.lo.s32 {d}, {a}, {b}", each(lambda x, y: x * y, a, b)),
        ("mul.hi.s32 {d}, {a}, {b}", each(lambda x, y: signed(x) * signed(y) >> 32, a, b)),
        ("mul.hi.u32 {d}, {a}, {b}", each(lambda x, y: x * y >> 32, a, b)),
        ("mad.lo.s32 {d}, {a}, {b}, {c}", each(lambda x, y, z: x * y + z, a, b, c)),
        ("mad.hi.u32 {d}, {a}, {b}, {c}", each(lambda x, y, z: (x * y >> 32) + z, a, b, c)),
        ("min.s32 {d}, {a}, {b}", each(lambda x, y: min(signed(x), signed(y)), a, b)),
        ("max.u32 {d}, {a}, {b}", each(max, a, b)),
        ("abs.s32 {d}, {a}", each(lambda x: abs(signed(x)), a)),
        ("neg.s32 {d}, {a}", each(lambda x: -x, a)),
        ("div.u32 {d}, {a}, 10", each(lambda x: x // 10, a)),
        ("rem.s32 {d}, {a}, 10", each(lambda x: int(np.fmod(signed(x), 10)), a)),
        ("dp4a.s32.s32 {d}, {a}, {b}, {c}", each(lambda x, y, z: dp4a(x, y, z, "ss"), a, b, c)),
        ("dp4a.u32.s32 {d}, {a}, {b}, {c}", each(lambda x, y, z: dp4a(x, y, z, "us"), a, b, c)),
        ("dp4a.s32.u32 {d}, {a}, {b}, {c}", each(lambda x, y, z: dp4a(x, y, z, "su"), a, b, c)),
        ("dp4a.u32.u32 {d}, {a}, {b}, {c}", each(lambda x, y, z: dp4a(x, y, z, "uu"), a, b, c)),
    ]
    check(rows, (a, b, c), "r", "r")


@pytest.mark.parametrize("masked", "ab")
def test_products_of_bytes_below_128(masked: str) -> None:
    """What a mask shows of the bytes chooses other instructions, and changes no result."""
    a, b, c = integers()
    x, y = (v & 0x7F7F7F7F if name == masked else v for v, name in ((a, "a"), (b, "b")))
    pair = ("t", "{b}") if masked == "a" else ("{a}", "t")
    text = "{ .reg .b32 t; and.b32 t, {MASKED}, 0x7F7F7F7F; dp4a.U32.V32 {d}, PAIR, {c}; }"
    text = text.replace("MASKED", masked).replace("PAIR", ", ".join(pair))
    rows = [
        (
            text.replace("U32", f"{u}32").replace("V32", f"{v}32"),
            each(lambda x, y, z, kinds=u + v: dp4a(x, y, z, kinds), x, y, c),
        )
        for u in "su"
        for v in "su"
    ]
    check(rows, (a, b, c), "r", "r")


@pytest.mark.parametrize("mask", ["0x0F0F0F0F", "0x01010101", "0x3F3F3F3F", "0x7F010101"])
def test_chains_of_products_of_few_bits(mask: str) -> None:
    """Sums of 16 bits hold several products; as many more as would not fit begin anew."""
    a, b, c = integers()
    steps = 12
    text = "".join("dp4a.u32.s32 {d}, t, {b}, {d}; " for _ in range(steps - 1))
    text = f"{{ .reg .b32 t; and.b32 t, {{a}}, {mask}; dp4a.u32.s32 {{d}}, t, {{b}}, {{c}}; {text} }}"

    def chain(x: int, y: int, z: int) -> int:
        for _ in range(steps):
            z = dp4a(x & int(mask, 16), y, z, "us")
        return z

    check([(text, each(chain, a, b, c))], (a, b, c), "r", "r")


def test_bits() -> None:
    a, b, c = integers()
    rows = [
        ("and.b32 {d}, {a}, {b}", a & b),
        ("or.b32 {d}, {a}, 0xF0", a | 0xF0),
        ("xor.b32 {d}, {a}, {b}", a ^ b),
        ("not.b32 {d}, {a}", ~a),
        ("cnot.b32 {d}, {a}", (a == 0).astype(np.int32)),
        ("shl.b32 {d}, {a}, {b}", each(lambda x, y: x << y if y < 32 else 0, a, b)),
        ("shr.u32 {d}, {a}, {b}", each(lambda x, y: x >> min(y, 32), a, b)),
        ("shr.s32 {d}, {a}, {b}", each(lambda x, y: signed(x) >> min(y, 31), a, b)),
        ("popc.b32 {d}, {a}", each(int.bit_count, a)),
        ("clz.b32 {d}, {a}", each(lambda x: 32 - x.bit_length(), a)),
        ("brev.b32 {d}, {a}", each(lambda x: int(f"{x:032b}"[::-1], 2), a)),
        ("bfe.u32 {d}, {a}, {b}, {c}", each(lambda x, y, z: bfe(x, y, z, False), a, b, c)),
        ("bfe.s32 {d}, {a}, {b}, {c}", each(lambda x, y, z: bfe(x, y, z, True), a, b, c)),
        ("bfe.s32 {d}, {a}, 4, 8", each(lambda x: bfe(x, 4, 8, True), a)),
        ("bfi.b32 {d}, {a}, {b}, {c}, 9", each(lambda x, y, z: bfi(x, y, z, 9), a, b, c)),
        ("bfi.b32 {d}, {a}, {b}, 5, {c}", each(lambda x, y, z: bfi(x, y, 5, z), a, b, c)),
    ]
    check(rows, (a, b, c), "r", "r")
    rows = [
        ("prmt.b32 {d}, {a}, {b}, {c}", each(prmt, a, b, c)),
        ("prmt.b32 {d}, {a}, {b}, 0x5746", each(lambda x, y: prmt(x, y, 0x5746), a, b)),
        *(
            (
                f"lop3.b32 {{d}}, {{a}}, {{b}}, {{c}}, {table:#x}",
                each(lambda x, y, z, t=table: lop3(x, y, z, t), a, b, c),
            )
            for table in (0x80, 0xEA, 0xF8, 0x96, 0x1B)
        ),
        (
            "shf.l.clamp.b32 {d}, {a}, {b}, {c}",
            each(lambda x, y, z: (y << 32 | x) << min(z, 32) >> 32, a, b, c),
        ),
        ("shf.l.wrap.b32 {d}, {a}, {b}, {c}", each(lambda x, y, z: (y << 32 | x) << (z & 31) >> 32, a, b, c)),
        ("shf.r.clamp.b32 {d}, {a}, {b}, {c}", each(lambda x, y, z: (y << 32 | x) >> min(z, 32), a, b, c)),
        ("shf.r.wrap.b32 {d}, {a}, {b}, {c}", each(lambda x, y, z: (y << 32 | x) >> (z & 31), a, b, c)),
        (
            "{ .reg .b16 lo, hi; mov.b32 {lo, hi}, {a}; mov.b32 {d}, {hi, lo}; }",
            each(lambda x: x >> 16 | x << 16, a),
        ),
        (
            "{ .reg .pred p, q; setp.lt.s32 p|q, {a}, {b}; selp.b32 {d}, {a}, {b}, q; @p add.s32 "
            "{d}, {d}, 1; }",
            each(lambda x, y: y + 1 if signed(x) < signed(y) else x, a, b),
        ),
        (
            "{ .reg .pred p; setp.hi.u32 p, {a}, {b}; mov.b32 {d}, 5; @!p mov.b32 {d}, 0x10; }",
            each(lambda x, y: 5 if x > y else 16, a, b),
        ),
        ("cvt.sat.s8.s32 {d}, {a}", each(lambda x: max(-128, min(127, signed(x))), a)),
        ("cvt.u32.u16 {d}, {a}", each(lambda x: x & 0xFFFF, a)),
    ]
    check(rows, (a, b, c), "r", "r")


def floats() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    columns = [
        (rng.standard_normal(SIZE) * 2.0 ** rng.integers(-8, 9, SIZE)).astype(np.float32) for _ in "abc"
    ]
    columns[0][:6] = [0.0, 1.0, -2.5, 0.5, 1.5, 300.0]
    return columns


def test_floats() -> None:
    a, b, c = floats()
    wide = a.astype(np.float64), b.astype(np.float64), c.astype(np.float64)
    positive = np.abs(wide[0]) + 0.125
    guarded = "{{ .reg .f32 t; abs.f32 t, {{a}}; add.f32 t, t, 0f3E000000; {} }}"
    rows = [
        ("add.rn.f32 {d}, {a}, {b}", a + b),
        ("sub.f32 {d}, {a}, {b}", a - b),
        ("mul.ftz.f32 {d}, {a}, {b}", a * b),
        ("fma.rn.f32 {d}, {a}, {b}, {c}", (wide[0] * wide[1] + wide[2]).astype(np.float32)),
        ("fma.rn.relu.f32 {d}, {a}, {b}, {c}", np.maximum(wide[0] * wide[1] + wide[2], 0).astype(np.float32)),
        ("add.sat.f32 {d}, {a}, {b}", np.clip(a + b, 0, 1)),
        ("div.full.f32 {d}, {a}, {b}", a / b),
        ("min.f32 {d}, {a}, {b}", np.fmin(a, b)),
        ("max.NaN.f32 {d}, {a}, {b}", np.maximum(a, b)),
        ("neg.f32 {d}, {a}", -a),
        ("abs.f32 {d}, {a}", np.abs(a)),
        ("copysign.f32 {d}, {a}, {b}", np.copysign(b, a)),
        ("tanh.approx.f32 {d}, {a}", np.tanh(wide[0]).astype(np.float32)),
        ("ex2.approx.ftz.f32 {d}, {c}", np.exp2(wide[2]).astype(np.float32)),
        (guarded.format("lg2.approx.f32 {d}, t;"), np.log2(positive).astype(np.float32)),
        (guarded.format("sqrt.rn.f32 {d}, t;"), np.sqrt(positive).astype(np.float32)),
    ]
    check(rows, (a, b, c), "f", "f")
    rows = [
        (guarded.format("rsqrt.approx.f32 {d}, t;"), (1 / np.sqrt(positive)).astype(np.float32)),
        (guarded.format("rcp.approx.ftz.f32 {d}, t;"), (1 / positive).astype(np.float32)),
        ("sin.approx.f32 {d}, {a}", np.sin(wide[0]).astype(np.float32)),
        ("cos.approx.f32 {d}, {a}", np.cos(wide[0]).astype(np.float32)),
        ("cvt.rni.f32.f32 {d}, {a}", np.rint(a)),
        ("cvt.rzi.f32.f32 {d}, {a}", np.trunc(a)),
        ("cvt.rmi.f32.f32 {d}, {a}", np.floor(a)),
        ("cvt.rpi.f32.f32 {d}, {a}", np.ceil(a)),
        ("cvt.sat.f32.f32 {d}, {a}", np.clip(a, 0, 1)),
        (
            "{ .reg .b16 h; cvt.rn.f16.f32 h, {a}; cvt.f32.f16 {d}, h; }",
            a.astype(np.float16).astype(np.float32),
        ),
        (
            "{ .reg .b16 h; cvt.rn.bf16.f32 h, {a}; cvt.f32.bf16 {d}, h; }",
            torch.from_numpy(a).bfloat16().float().numpy(),
        ),
        (
            "{ .reg .b32 h; cvt.rna.tf32.f32 h, {a}; mov.b32 {d}, h; }",
            (a.view(np.uint32) + np.uint32(0x1000) & np.uint32(0xFFFFE000)).view(np.float32),
        ),
        (
            "{ .reg .f64 w; cvt.f64.f32 w, {a}; mul.f64 w, w, 0d3FF8000000000000; cvt.rn.f32.f64 {d}, w; }",
            (wide[0] * 1.5).astype(np.float32),
        ),
        ("add.rz.f32 {d}, {a}, {b}", toward_zero(wide[0] + wide[1])),
        ("{ .reg .pred p; setp.gtu.f32 p, {a}, {b}; selp.f32 {d}, {a}, {b}, p; }", np.maximum(a, b)),
    ]
    check(rows, (a, b, c), "f", "f")


def toward_zero(exact: np.ndarray) -> np.ndarray:
    near = exact.astype(np.float32)
    return np.where(np.abs(near.astype(np.float64)) > np.abs(exact), np.nextafter(near, np.float32(0)), near)


def test_pairs_and_eight_bits() -> None:
    """Two numbers in a register, the first source above the second, with overflow by `satfinite`."""
    a, b, c = floats()
    a[:8] = [464.0, 465.0, 480.0, 61440.0, 1e6, -1e6, np.inf, -np.inf]

    def pair(x: np.ndarray, dtype: torch.dtype, limit: float | None = None) -> np.ndarray:
        value = torch.from_numpy(x if limit is None else np.clip(x, -limit, limit)).to(dtype)
        return value.view(torch.int16 if value.element_size() == 2 else torch.uint8).numpy().astype(np.int64)

    e4m3, e5m2 = torch.float8_e4m3fn, torch.float8_e5m2
    halves = (b.astype(np.float16) * c.astype(np.float16)).view(np.int16).astype(np.int64)
    rows = [
        ("cvt.rn.f16x2.f32 {d}, {b}, {c}", pair(b, torch.float16) << 16 | pair(c, torch.float16) & 0xFFFF),
        ("cvt.rn.bf16x2.f32 {d}, {a}, {b}", pair(a, torch.bfloat16) << 16 | pair(b, torch.bfloat16) & 0xFFFF),
        (
            "{ .reg .b16 t; cvt.rn.satfinite.e4m3x2.f32 t, {a}, {b}; cvt.u32.u16 {d}, t; }",
            pair(a, e4m3) << 8 | pair(b, e4m3),
        ),
        (
            "{ .reg .b16 t; cvt.rn.satfinite.e5m2x2.f32 t, {a}, {b}; cvt.u32.u16 {d}, t; }",
            pair(a, e5m2, 57344) << 8 | pair(b, e5m2),
        ),
        (
            "{ .reg .b16 t; cvt.rn.satfinite.e4m3x2.f32 t, {b}, {c}; cvt.rn.f16x2.e4m3x2 {d}, t; }",
            pair(torch.from_numpy(b).to(e4m3).float().numpy(), torch.float16) << 16
            | pair(torch.from_numpy(c).to(e4m3).float().numpy(), torch.float16) & 0xFFFF,
        ),
        (
            "{ .reg .b32 x, y; cvt.rn.f16x2.f32 x, {b}, {b}; cvt.rn.f16x2.f32 y, {c}, {c}; "
            "mul.rn.f16x2 {d}, x, y; }",
            halves << 16 | halves & 0xFFFF,
        ),
        ("cvt.rni.s32.f32 {d}, {b}", np.rint(b)),
        ("cvt.rzi.s32.f32 {d}, {c}", np.trunc(c)),
        ("cvt.rzi.u8.f32 {d}, {b}", np.clip(np.trunc(b), 0, 255)),
    ]
    rows = [(text, np.asarray(want).astype(np.int64).astype(np.int32)) for text, want in rows]
    check(rows, (a, b, c), "f", "r")


@triton.jit
def packed(x, y, out, high, B: tl.constexpr):
    """Triton's documentation's example: four bytes of a register, and four floats, in one run."""
    i = tl.arange(0, B)
    a, b = tl.load(x + i), tl.load(y + i)
    small, large = tl.inline_asm_elementwise(
        """
        {
            // Unpack the bytes of $8 into $0 to $3.
            .reg .b8 tmp<4>;
            mov.b32 {tmp0, tmp1, tmp2, tmp3}, $8;
            cvt.u32.u8 $0, tmp0;
            cvt.u32.u8 $1, tmp1;
            cvt.u32.u8 $2, tmp2;
            cvt.u32.u8 $3, tmp3;
        }
        cvt.rn.f32.s32 $4, $0; cvt.rn.f32.s32 $5, $1; cvt.rn.f32.s32 $6, $2; cvt.rn.f32.s32 $7, $3;
        max.f32 $4, $4, $9; max.f32 $5, $5, $10; max.f32 $6, $6, $11; max.f32 $7, $7, $12;
        """,
        "=r,=r,=r,=r,=r,=r,=r,=r,r,r,r,r,r",
        [a, b],
        dtype=(tl.int32, tl.float32),
        is_pure=True,
        pack=4,
    )
    tl.store(out + i, small)
    tl.store(high + i, large)


@pytest.mark.parametrize("size", [4, 64, 512])
def test_packed_elements(size: int) -> None:
    x = torch.arange(size).mul(37).to(torch.uint8)
    y = torch.linspace(-300, 300, size)
    out, high = torch.zeros(size, dtype=torch.int32), torch.zeros(size)
    packed[(1,)](x, y, out, high, size)
    assert torch.equal(out, x.int())
    assert torch.equal(high, torch.maximum(x.float(), y))


@triton.jit
def bytes_of_tile(x, out, M: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, M)[:, None] * N + tl.arange(0, N)
    doubled = tl.inline_asm_elementwise(
        "shl.b32 $0, $1, 1; and.b32 $0, $0, 0xFEFEFEFE;",
        "=r,r",
        [tl.load(x + at)],
        dtype=tl.int8,
        is_pure=True,
        pack=4,
    )
    tl.store(out + at, doubled)


def test_a_tile_of_bytes_keeps_its_order() -> None:
    x = torch.arange(128).to(torch.int8)
    out = torch.zeros_like(x)
    bytes_of_tile[(1,)](x, out, 8, 16)
    assert torch.equal(out, (x.to(torch.int32) * 2).to(torch.int8))


@triton.jit
def of_a_gpu(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.extra.cuda.gdc_wait()
    start = tl.extra.cuda.globaltimer()
    value = tl.inline_asm_elementwise(
        "bar.sync 0; mov.b32 $0, $1;", "=r,r", [tl.load(x + i)], dtype=tl.int32, is_pure=False, pack=1
    )
    tl.extra.cuda.gdc_launch_dependents()
    tl.store(out + i, value + tl.extra.cuda.smid())
    tl.store(out + B + i, (tl.extra.cuda.globaltimer() >= start).to(tl.int32))


def test_what_a_gpu_says_of_itself_has_a_meaning() -> None:
    x = torch.arange(16, dtype=torch.int32)
    out = torch.zeros(32, dtype=torch.int32)
    of_a_gpu[(1,)](x, out, 16)
    assert torch.equal(out[:16], x)
    assert out[16:].all()


@triton.jit
def any_assembly(x, ASM: tl.constexpr, CONSTRAINTS: tl.constexpr):
    i = tl.arange(0, 16)
    tl.store(
        x + i,
        tl.inline_asm_elementwise(ASM, CONSTRAINTS, [tl.load(x + i)], dtype=tl.int32, is_pure=True, pack=1),
    )


@pytest.mark.parametrize(
    ("text", "constraints", "message"),
    [
        ("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0}, [$1];", "=r,r", "ldmatrix"),
        ("mov.u32 $0, %tid.x;", "=r,r", "%tid.x"),
        ("add.s32 $0, $1, x;", "=r,r", "x is read before"),
        ("add.s32 $1, $1, 1;", "=r,r", r"output \$0 is never written"),
        ("mov.b32 $0, $1", "=r", "0 inputs in the constraints"),
        ("{ mov.b32 $0, $1;", "=r,r", "not closed"),
        ("add.s32 $0;", "=r,r", "other operands"),
        ("prmt.b32.f4e $0, $1, $1, 0;", "=r,r", "f4e"),
        ("v_mov_b32 $0, $1", "=v,v", "constraint"),
        ("mov.b32 $0, [$1];", "=r,r", "is read before"),
    ],
)
def test_the_rest_is_refused_by_name(text: str, constraints: str, message: str) -> None:
    with pytest.raises(
        AnychipError, match=rf"(?s)test_translate\.py:\d+.*inline assembly.*{message}.*tl operations"
    ):
        any_assembly[(1,)](torch.zeros(16, dtype=torch.int32), text, constraints)


@triton.jit
def by_tritons_own(x, half, back, B: tl.constexpr):
    """Triton's conversions of fp8e4b15 for NVIDIA's GPUs: scopes, numbered registers, pairs of predicates."""
    i = tl.arange(0, B)
    value = convert_fp8e4b15_to_float16(tl.load(x + i))
    tl.store(half + i, value)
    tl.store(back + i, convert_float16_to_fp8e4b15(value, False).to(tl.uint8, bitcast=True))


def test_tritons_own_assembly() -> None:
    codes = torch.arange(256).to(torch.uint8)
    half, back = torch.zeros(256, dtype=torch.float16), torch.zeros(256, dtype=torch.uint8)
    by_tritons_own[(1,)](codes, half, back, 256)
    wide = codes.int()
    assert torch.equal(half.view(torch.int16), ((wide & 0x80) << 8 | (wide & 0x7F) << 7).to(torch.int16))
    assert torch.equal(back, torch.where((codes & 0x7F) == 0x7F, codes - 1, codes))

"""Formulas over registers: the small language in which the mathematical functions are written.

A `Formula` writes into one function body and makes constants of the body's element type; a `Num`
is a register (or constant) whose operators append instructions. Both know the target, so that a
formula needs no case for machines without fused multiply-add or without rounding instructions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...llvm.builder import Builder, round_to_f32
from ...llvm.types import LLType, Val, mangle
from ...targets import llvm_versions
from ...targets.target import Target


@dataclass(frozen=True, slots=True)
class FloatLayout:
    """Where the fields of f32 or f64 lie. `magic` + x rounds a small x to an integer."""

    element: str
    integer: str
    mantissa: int
    bias: int

    @property
    def magic(self) -> float:
        """A number that, added to a small x, rounds x to an integer: 1.5 times 2 to the bits of the
        mantissa."""
        return 1.5 * 2.0**self.mantissa

    @property
    def bits(self) -> int:
        """Bits of the format: 32 or 64."""
        return 32 if self.integer == "i32" else 64

    @property
    def sign_mask(self) -> int:
        """The mask of the sign bit."""
        return 1 << (self.bits - 1)

    @property
    def infinity(self) -> int:
        """The bit pattern of infinity, which is also the mask of the exponent."""
        return (2 * self.bias + 1) << self.mantissa

    def pattern(self, value: float) -> int:
        """The bit pattern of a value of this layout."""
        if self.bits == 32:
            return struct.unpack("<I", struct.pack("<f", round_to_f32(value)))[0]
        return struct.unpack("<Q", struct.pack("<d", value))[0]


LAYOUTS = {
    "float": FloatLayout("float", "i32", 23, 127),
    "double": FloatLayout("double", "i64", 52, 1023),
}

Operand: TypeAlias = "Num | float | int"
"""What stands beside a register in an operator: another register or a Python number."""


class Num:
    """A register inside a formula. Arithmetic operators follow its type; `<` and its kin give
    registers of `i1` and are signed and ordered; `.eq`/`.ne` compare for equality."""

    __slots__ = ("m", "val")

    def __init__(self, m: Formula, val: Val):
        self.m = m
        self.val = val

    @property
    def is_float(self) -> bool:
        """Whether the register holds floating-point numbers."""
        return self.val.type.is_float

    @property
    def layout(self) -> FloatLayout:
        """Where the fields of its floating-point format lie."""
        return LAYOUTS[self.val.type.element]

    def like(self, other: Operand) -> Val:
        """A Python number as a constant of this register's type."""
        return other.val if isinstance(other, Num) else self.m.constant(other, self.val.type).val

    def _binary(self, float_opcode: str, int_opcode: str, other: Operand, swap: bool = False) -> Num:
        opcode = float_opcode if self.is_float else int_opcode
        a, b = self.val, self.like(other)
        if swap:
            a, b = b, a
        return Num(self.m, self.m.b.binary(opcode, a, b))

    def __add__(self, other: Operand) -> Num:
        return self._binary("fadd", "add", other)

    def __radd__(self, other: Operand) -> Num:
        return self._binary("fadd", "add", other, swap=True)

    def __sub__(self, other: Operand) -> Num:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: Operand) -> Num:
        return self._binary("fsub", "sub", other, swap=True)

    def __mul__(self, other: Operand) -> Num:
        return self._binary("fmul", "mul", other)

    def __rmul__(self, other: Operand) -> Num:
        return self._binary("fmul", "mul", other, swap=True)

    def __truediv__(self, other: Operand) -> Num:
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: Operand) -> Num:
        return self._binary("fdiv", "sdiv", other, swap=True)

    def __neg__(self) -> Num:
        return Num(self.m, self.m.b.fneg(self.val)) if self.is_float else 0 - self

    def __and__(self, other: Operand) -> Num:
        return Num(self.m, self.m.b.and_(self.val, self.like(other)))

    def __or__(self, other: Operand) -> Num:
        return Num(self.m, self.m.b.or_(self.val, self.like(other)))

    def __xor__(self, other: Operand) -> Num:
        return Num(self.m, self.m.b.xor(self.val, self.like(other)))

    def __invert__(self) -> Num:
        return self ^ -1

    def __lshift__(self, other: Operand) -> Num:
        return Num(self.m, self.m.b.shl(self.val, self.like(other)))

    def __rshift__(self, other: Operand) -> Num:
        """Arithmetic shift to the right."""
        return Num(self.m, self.m.b.ashr(self.val, self.like(other)))

    def logical_shift(self, other: Operand) -> Num:
        """Shift to the right, zeros coming in."""
        return Num(self.m, self.m.b.lshr(self.val, self.like(other)))

    def compare(self, predicate: str, other: Operand) -> Num:
        """`predicate` as LLVM writes it (`olt`, `une`, `ult` of integers, ...)."""
        compare = self.m.b.fcmp if self.is_float else self.m.b.icmp
        return Num(self.m, compare(predicate, self.val, self.like(other)))

    def __lt__(self, other: Operand) -> Num:
        return self.compare("olt" if self.is_float else "slt", other)

    def __le__(self, other: Operand) -> Num:
        return self.compare("ole" if self.is_float else "sle", other)

    def __gt__(self, other: Operand) -> Num:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __ge__(self, other: Operand) -> Num:
        return self.compare("oge" if self.is_float else "sge", other)

    def eq(self, other: Operand) -> Num:
        """Equal; false for NaN."""
        return self.compare("oeq" if self.is_float else "eq", other)

    def ne(self, other: Operand) -> Num:
        """Not equal; true for NaN."""
        return self.compare("une" if self.is_float else "ne", other)

    def is_nan(self) -> Num:
        """Whether it is NaN, lane by lane."""
        return self.compare("uno", self)

    def cast(self, opcode: str, element: str) -> Num:
        """Converted by LLVM's instruction `opcode` to lanes of `element`."""
        return Num(self.m, self.m.b.cast(opcode, self.val, element))

    def bits(self) -> Num:
        """The bit pattern as an integer register."""
        return self.cast("bitcast", self.layout.integer)

    def as_float(self) -> Num:
        """An integer register's bit pattern as a float of the same width."""
        return self.cast("bitcast", "float" if self.val.type.bits == 32 else "double")

    def to_float(self, element: str = "") -> Num:
        """A signed integer register converted to the nearest float."""
        return self.cast("sitofp", element or ("float" if self.val.type.bits == 32 else "double"))

    def abs(self) -> Num:
        """The magnitude; the smallest integer stays as it is."""
        if self.is_float:
            return Num(self.m, self.m.b.intrinsic("llvm.fabs", self.val))
        return Num(self.m, self.m.b.intrinsic("llvm.abs", self.val, extra=[Val("false", LLType("i1"))]))

    def sqrt(self) -> Num:
        """The square root, rounded to nearest."""
        return Num(self.m, self.m.b.intrinsic("llvm.sqrt", self.val))

    def copysign(self, sign: Num) -> Num:
        """This magnitude with the sign bit of `sign`."""
        return Num(self.m, self.m.b.intrinsic("llvm.copysign", self.val, sign.val))

    def sign_bit(self) -> Num:
        """The bit pattern with everything but the sign cleared."""
        return self.bits() & self.layout.sign_mask


class Formula:
    """The body of one function over registers of `lanes` lanes.

    `widened` says that f32 arguments were widened to f64, so that f32's precision is enough.
    """

    def __init__(self, b: Builder, target: Target, element: str, lanes: int, widened: bool = False):
        self.widened = widened
        self.b = b
        self.target = target
        self.element = element
        self.lanes = lanes

    @property
    def layout(self) -> FloatLayout:
        """Where the fields of the function's element type lie."""
        return LAYOUTS[self.element]

    def type(self, element: str = "") -> LLType:
        """The register type of `element`, by default the function's own, with the function's lanes."""
        return LLType(element or self.element, self.lanes)

    def constant(self, value: float, type: LLType | None = None) -> Num:
        """A constant in all lanes; of the function's element type unless told."""
        type = type or self.type()
        scalar = type.with_lanes(1)
        item = self.b.float(value, scalar) if type.is_float else self.b.int(int(value), scalar)
        return Num(self, item if type.lanes == 1 else Val(f"splat ({item})", type))

    def integer(self, value: int, element: str = "") -> Num:
        """An integer constant in all lanes, by default as wide as the function's floats."""
        return self.constant(value, self.type(element or self.layout.integer))

    def where(self, condition: Num, yes: Operand, no: Operand) -> Num:
        """`yes` in the lanes where `condition` holds, else `no` (one of them a register)."""
        model = yes if isinstance(yes, Num) else no
        assert isinstance(model, Num)
        return Num(self, self.b.select(condition.val, model.like(yes), model.like(no)))

    def multiply_add(self, a: Num, b: Operand, c: Operand) -> Num:
        """a * b + c: rounded once where the machine has the instruction, twice elsewhere."""
        if self.target.fma:
            return Num(self, self.b.fma(a.val, a.like(b), a.like(c)))
        return a * b + c

    def polynomial(self, x: Num, coefficients: Sequence[float]) -> Num:
        """sum c[i] x^i, by Horner's rule."""
        result = self.constant(coefficients[-1], x.val.type)
        for c in reversed(coefficients[:-1]):
            result = self.multiply_add(result, x, c)
        return result

    def estrin(self, x: Num, coefficients: Sequence[float]) -> Num:
        """sum c[i] x^i in few dependent steps (Estrin's scheme)."""
        terms: list[Num | float] = list(coefficients)
        power = x
        while len(terms) > 1:
            paired: list[Num | float] = []
            for i in range(0, len(terms) - 1, 2):
                paired.append(self.multiply_add(power, terms[i + 1], terms[i]))
            if len(terms) % 2:
                paired.append(terms[-1])
            terms = paired
            if len(terms) > 1:
                power = power * power
        first = terms[0]
        return first if isinstance(first, Num) else self.constant(first, x.val.type)

    def clamp(self, x: Num, low: float, high: float) -> Num:
        """x limited to [low, high]; NaN stays NaN."""
        x = self.where(x > high, high, x)
        return self.where(x < low, low, x)

    def minimum(self, a: Num, b: Operand) -> Num:
        """The smaller of a and b; a when either is NaN."""
        return self.where(a > b, b, a)

    def maximum(self, a: Num, b: Operand) -> Num:
        """The larger of a and b; a when either is NaN."""
        return self.where(a < b, b, a)

    # --- pairs: the unevaluated sum of a value and its rounding error ---------------------
    def two_sum(self, a: Num, b: Num) -> tuple[Num, Num]:
        """a + b exactly (Knuth)."""
        s = a + b
        t = s - a
        return s, (a - (s - t)) + (b - t)

    def fast_two_sum(self, a: Num, b: Num) -> tuple[Num, Num]:
        """a + b exactly when |a| >= |b| (Dekker)."""
        s = a + b
        return s, b - (s - a)

    def split(self, a: Num) -> tuple[Num, Num]:
        """a as a sum of two numbers of half the precision, so that the products of halves are exact
        (Veltkamp's splitting, on the bit pattern). The 24 bits of f32 are cut in the middle; of the 53 of
        f64 the higher half is rounded to nearest, which leaves 26 and a sign."""
        bits = a.bits()
        if a.layout.bits == 32:
            high = (bits & -(1 << 12)).as_float()
            return high, a - high
        high = ((bits + (1 << 26)) & -(1 << 27)).as_float()
        high = self.where(high.abs() < float("inf"), high, (bits & -(1 << 27)).as_float())
        return high, a - high

    def two_product(self, a: Num, b: Operand) -> tuple[Num, Num]:
        """a * b exactly, barring overflow and underflow."""
        b = Num(self, a.like(b))
        p = a * b
        if self.target.fma:
            return p, self.multiply_add(a, b, -p)
        a1, a2 = self.split(a)
        b1, b2 = self.split(b)
        return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2

    def pair_times(self, x: tuple[Num, Num], y: tuple[Num, Num]) -> tuple[Num, Num]:
        """The product of two pairs, as a pair."""
        p, e = self.two_product(x[0], y[0])
        e = e + (x[0] * y[1] + x[1] * y[0])
        return self.fast_two_sum(p, e)

    def pair_plus(self, x: tuple[Num, Num], y: tuple[Num, Num]) -> tuple[Num, Num]:
        """The sum of two pairs, as a pair."""
        s, e = self.two_sum(x[0], y[0])
        return self.fast_two_sum(s, e + (x[1] + y[1]))

    def pair_constant(self, high: float, low: float) -> tuple[Num, Num]:
        """Two constants whose sum is one number in twice the precision."""
        return self.constant(high), self.constant(low)

    def funnel_shift(self, high: Num, low: Num, count: Num) -> Num:
        """The upper half of high:low shifted to the left by less than the width of either."""
        return Num(self, self.b.intrinsic("llvm.fshl", high.val, low.val, count.val))

    # --- integers of floats ----------------------------------------------------------------
    def nearest_integer(self, x: Num) -> tuple[Num, Num]:
        """The integer nearest to a small x (|x| < 2^21), as a float and as an integer."""
        magic = x.layout.magic
        shifted = x + magic
        return shifted - magic, shifted.bits() - x.layout.pattern(magic)

    def power_of_two(self, n: Num) -> Num:
        """2^n for an integer register within the range of normal exponents."""
        layout = LAYOUTS["float" if n.val.type.bits == 32 else "double"]
        return ((n + layout.bias) << layout.mantissa).as_float()

    def scale(self, x: Num, n: Num) -> Num:
        """x * 2^n, rounded once into the denormals for |n| up to about twice the exponent bias."""
        if self.target.scale_by_power and self.lanes >= 4 and llvm_versions.installed().vector_ldexp:
            power = n.val if self.layout.bits == 32 else self.b.cast("trunc", n.val, "i32")
            type = x.val.type
            name = f"llvm.ldexp.{mangle(type)}.{mangle(power.type)}"
            return Num(self, self.b.call(name, type, [x.val, power]))
        half = n >> 1
        return x * self.power_of_two(half) * self.power_of_two(n - half)

    @property
    def looks_up(self) -> bool:
        """Whether `lookup` is there: 16 lanes of f32 and an instruction that picks among them."""
        return bool(self.target.table_lookup) and self.lanes == 16 and self.layout.bits == 32

    def lookup(self, values: Sequence[float], index: Num) -> Num:
        """`values[index mod 16]` of 16 constants that stay in a register."""
        table = self.b.vector([self.constant(v, LLType("float")).val.ref for v in values], self.type("float"))
        return Num(self, self.b.call(self.target.table_lookup, table.type, [table, index.val]))

    def gather(self, name: str, element: str, values: Sequence[str], index: Num) -> Num:
        """`table[index]` of a constant table; `index` must be in range."""
        type = LLType(element)
        table = self.b.module.table(name, type, values)
        wide = index.cast("sext", "i64") if index.val.type.bits < 64 else index
        address = self.b.gep(table, (wide * (type.bits // 8)).val)
        if self.lanes == 1:
            return Num(self, self.b.load(type, address, type.bits // 8))
        result = self.type(element)
        suffix = f"v{self.lanes}{ {'float': 'f32', 'double': 'f64'}.get(element, element) }.v{self.lanes}p0"
        mask = Val("splat (i1 true)", LLType("i1", self.lanes))
        alignment = Val(str(type.bits // 8), LLType("i32"))
        poison = Val("poison", result)
        return Num(
            self, self.b.call(f"llvm.masked.gather.{suffix}", result, [address, alignment, mask, poison])
        )

    def where_any(
        self, condition: Num, compute: Callable[[], Sequence[Num]], otherwise: Sequence[Num]
    ) -> list[Num]:
        """`compute()` in the lanes where `condition` holds, else `otherwise`. What `compute` writes is
        jumped over where no lane asks for it."""
        b = self.b
        before, wanted, done = b.block, b.label("wanted"), b.label("known")
        b.cond_br(self.any(condition), wanted, done)
        b.place(wanted)
        merged = [self.where(condition, new, old) for new, old in zip(compute(), otherwise, strict=True)]
        after = b.block
        b.place(done)
        results = []
        for old, new in zip(otherwise, merged):
            phi = b.phi(old.val.type)
            phi.add(old.val, before)
            phi.add(new.val, after)
            results.append(Num(self, phi.val))
        return results

    def any(self, condition: Num) -> Val:
        """Whether the condition holds in any lane, as a scalar."""
        if condition.val.lanes == 1:
            return condition.val
        name = f"llvm.vector.reduce.or.v{condition.val.lanes}i1"
        return self.b.call(name, LLType("i1"), [condition.val])

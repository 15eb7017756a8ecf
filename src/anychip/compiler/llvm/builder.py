"""A builder of LLVM IR text.

It writes one function at a time as text, which LLVM parses in one go: several times faster
than building the same through an object per instruction. Operands are broadcast to a common
number of lanes and constants are folded where that is free. Nothing here knows of tiles.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .module import LLModule
from .types import F32, I32, I64, PTR, LLType, Val, mangle

_INFINITY = {"half": (0x7FFF, 0x7C00), "float": (0x7FFF_FFFF, 0x7F80_0000)}
"""Element type -> the bits without the sign, and those of infinity: above it are the NaNs."""

_OF_ONESELF = {"une": "uno", "oeq": "ord", "ueq": "true", "one": "false"}
"""What a comparison of a value with itself asks."""

_WITH_NAN_TEST = ("uno", "ord", "one", "ueq")
"""Comparisons that no single instruction makes without a test for NaN."""

_FOLD = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "shl": lambda a, b: a << b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def wrap(value: int, bits: int) -> int:
    """`value` as a signed two's complement integer of `bits`."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if bits > 1 and value >> (bits - 1) else value


class Phi:
    """A phi whose incoming values may be added after it was placed."""

    __slots__ = ("incoming", "val")

    def __init__(self, val: Val):
        self.val = val
        self.incoming: list[tuple[Val, str]] = []

    def add(self, val: Val, label: str) -> None:
        """The phi is `val` where control comes from block `label`."""
        self.incoming.append((val, label))

    def __str__(self) -> str:
        pairs = ", ".join(f"[ {v.ref}, %{label} ]" for v, label in self.incoming)
        return f"  {self.val.ref} = phi {self.val.type} {pairs}"


class Builder:
    """Writes the body of one LLVM function. The insertion point is the end of `block`."""

    def __init__(self, module: LLModule):
        self.module = module
        self._next = 0
        self._entry: list[str] = []
        self.lines: list[object] = []
        self.block = "start"
        self.terminated = False
        self.remembered: dict[str, object] = {}
        """What rules note of values, by the values' names."""

    # --- names, labels, text -------------------------------------------------------------
    def fresh(self, type: LLType) -> Val:
        """A register of a type that no instruction has written yet."""
        self._next += 1
        return Val(f"%v{self._next}", type)

    def label(self, hint: str = "b") -> str:
        """A new label that begins with `hint`."""
        self._next += 1
        return f"{hint}.{self._next}"

    def raw(self, type: LLType, text: str) -> Val:
        """Append `%fresh = text` and return the value."""
        val = self.fresh(type)
        self.lines.append(f"  {val.ref} = {text}")
        return val

    def effect(self, text: str) -> None:
        """Append an instruction without a result."""
        self.lines.append(f"  {text}")

    def place(self, label: str) -> None:
        """Start block `label`, branching to it from an unterminated current block."""
        if not self.terminated:
            self.br(label)
        self.lines.append(f"{label}:")
        self.block = label
        self.terminated = False

    def br(self, label: str) -> None:
        """End the block: go to `label`."""
        self.effect(f"br label %{label}")
        self.terminated = True

    def cond_br(self, cond: Val, then: str, otherwise: str, likely: str = "") -> None:
        """End the block: go to `then` if the i1 scalar `cond` holds, else to `otherwise`. `likely` names the
        metadata of the branch's weights ("!3"), if there are any."""
        weights = f", !prof {likely}" if likely else ""
        self.effect(f"br i1 {cond.ref}, label %{then}, label %{otherwise}{weights}")
        self.terminated = True

    def phi(self, type: LLType) -> Phi:
        """A phi at the end of the current block's lines: call it right after `place`."""
        phi = Phi(self.fresh(type))
        self.lines.append(phi)
        return phi

    def merge(self, ends: Sequence[tuple[str, Sequence[Val]]]) -> list[Val]:
        """Where blocks meet: a phi for each value that all of them bring. `ends` are the blocks and what they
        bring; call it right after `place`."""
        phis = [self.phi(value.type) for value in ends[0][1]] if ends else []
        for block, values in ends:
            for phi, value in zip(phis, values, strict=True):
                phi.add(value, block)
        return [phi.val for phi in phis]

    def alloca(self, type: LLType, align: int = 0) -> Val:
        """A stack slot, placed in the entry block."""
        val = self.fresh(PTR)
        suffix = f", align {align}" if align else ""
        self._entry.append(f"  {val.ref} = alloca {type}{suffix}")
        return val

    def variable(self, initial: Val) -> Val:
        """A stack slot that holds `initial` when the function begins."""
        slot = self.alloca(initial.type)
        self._entry.append(f"  store {initial}, {slot}")
        return slot

    def text(self, signature: str, attrs: str = "") -> str:
        """The whole function: `signature` is `define ... @name(...)` without the brace."""
        body = "\n".join(map(str, self.lines))
        entry = "\n".join(["entry:", *self._entry, "  br label %start", "start:"])
        return f"{signature} {attrs} {{\n{entry}\n{body}\n}}\n"

    # --- constants -----------------------------------------------------------------------
    def int(self, value: int, type: LLType = I32) -> Val:
        """An integer constant, splat over the lanes of `type`."""
        bits = type.bits
        text = ("true" if value & 1 else "false") if bits == 1 else str(wrap(int(value), bits))
        if type.lanes > 1:
            return self.vector([text] * type.lanes, type)
        return Val(text, type)

    def float(self, value: float, type: LLType = F32) -> Val:
        """A floating-point constant rounded to `type` (half, float or double)."""
        if type.element == "half":
            text = f"0xH{struct.unpack('<H', pack_half(value))[0]:04X}"
        else:
            if type.element == "float":
                value = round_to_f32(value)
            text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
        if type.lanes > 1:
            return self.vector([text] * type.lanes, type)
        return Val(text, type)

    def vector(self, texts: Sequence[str], type: LLType) -> Val:
        """A constant vector from the texts of its lanes."""
        if len(texts) == 1:
            return Val(texts[0], type)
        if all(t in ("0", "false", "null") for t in texts):
            return Val("zeroinitializer", type)
        return Val("<" + ", ".join(f"{type.element} {t}" for t in texts) + ">", type)

    def ints(self, values: Sequence[int], element: str = "i32") -> Val:
        """A constant vector of integers."""
        bits = LLType(element).bits
        return self.vector([str(wrap(v, bits)) for v in values], LLType(element, len(values)))

    def null(self, type: LLType) -> Val:
        """Zero of any type."""
        if type.lanes > 1:
            return Val("zeroinitializer", type)
        if type.is_float:
            return self.float(0.0, type)
        return Val("null" if type.element == "ptr" else self.int(0, type).ref, type)

    # --- lanes ---------------------------------------------------------------------------
    def splat(self, val: Val, lanes: int) -> Val:
        """`val` repeated in `lanes` lanes (unchanged when it already has them)."""
        if val.lanes == lanes:
            return val
        assert val.lanes == 1, f"cannot splat {val} to {lanes} lanes"
        type = val.type.with_lanes(lanes)
        if val.is_constant:
            return self.vector([val.ref] * lanes, type)
        first = self.raw(type, f"insertelement {type} poison, {val}, i32 0")
        return self.raw(
            type, f"shufflevector {type} {first.ref}, {type} poison, <{lanes} x i32> zeroinitializer"
        )

    def unify(self, *vals: Val) -> list[Val]:
        """All values with the largest number of lanes among them."""
        lanes = max(v.lanes for v in vals)
        return [self.splat(v, lanes) for v in vals]

    def extract(self, val: Val, lane: int | Val) -> Val:
        """Lane `lane` of a vector as a scalar; a scalar is returned as it is. A lane out of range gives
        poison."""
        if val.lanes == 1:
            return val
        index = lane if isinstance(lane, Val) else self.int(lane)
        return self.raw(val.type.with_lanes(1), f"extractelement {val}, {index}")

    def insert(self, val: Val, item: Val, lane: int | Val) -> Val:
        """The vector `val` with `item` in lane `lane`. A lane out of range gives poison."""
        index = lane if isinstance(lane, Val) else self.int(lane)
        return self.raw(val.type, f"insertelement {val}, {item}, {index}")

    def shuffle(self, val: Val, lanes: Sequence[int], other: Val | None = None) -> Val:
        """Lane i of the result is lane `lanes[i]` of `val` followed by `other`; -1 is any."""
        if other is None and list(lanes) == list(range(val.lanes)):
            return val
        if len(lanes) == 1:
            return self.extract(val, lanes[0])
        second = other.ref if other is not None else "poison"
        mask = ", ".join(f"i32 {'poison' if i < 0 else i}" for i in lanes)
        return self.raw(
            val.type.with_lanes(len(lanes)),
            f"shufflevector {val}, {val.type} {second}, <{len(lanes)} x i32> <{mask}>",
        )

    # --- instructions --------------------------------------------------------------------
    def binary(self, opcode: str, a: Val, b: Val, flags: str = "") -> Val:
        """Any two-operand instruction (`add`, `fmul`, `lshr`, ...), broadcasting scalars."""
        x, y = a.constant_int, b.constant_int
        if x is not None and y is not None and opcode in _FOLD:
            return self.int(_FOLD[opcode](x, y), a.type)
        if y == 0 and opcode in ("add", "sub", "shl", "or", "xor", "lshr", "ashr"):
            return a
        if x == 0 and opcode in ("add", "or", "xor"):
            return b
        if y == 1 and opcode in ("mul", "sdiv", "udiv") and b.type.bits > 1:
            return a
        if x == 1 and opcode == "mul" and a.type.bits > 1:
            return b
        a, b = self.unify(a, b)
        flags = f" {flags}" if flags else ""
        return self.raw(a.type, f"{opcode}{flags} {a.type} {a.ref}, {b.ref}")

    def add(self, a: Val, b: Val) -> Val:
        """a + b, wrapping around."""
        return self.binary("add", a, b)

    def sub(self, a: Val, b: Val) -> Val:
        """a - b, wrapping around."""
        return self.binary("sub", a, b)

    def mul(self, a: Val, b: Val) -> Val:
        """a * b, the lower half."""
        return self.binary("mul", a, b)

    def and_(self, a: Val, b: Val) -> Val:
        """Bitwise and; `true` and `false` scalars of i1 fold."""
        if a.type.element == "i1":
            for u, v in ((a, b), (b, a)):
                if u.ref == "true":
                    return v
                if u.ref == "false":
                    return u
        return self.binary("and", a, b)

    def or_(self, a: Val, b: Val) -> Val:
        """Bitwise or."""
        return self.binary("or", a, b)

    def xor(self, a: Val, b: Val) -> Val:
        """Bitwise exclusive or."""
        return self.binary("xor", a, b)

    def shl(self, a: Val, b: Val) -> Val:
        """a shifted left by b bits; poison from the type's width on."""
        return self.binary("shl", a, b)

    def lshr(self, a: Val, b: Val) -> Val:
        """a shifted right by b bits, zeros coming in."""
        return self.binary("lshr", a, b)

    def ashr(self, a: Val, b: Val) -> Val:
        """a shifted right by b bits, copies of the sign coming in."""
        return self.binary("ashr", a, b)

    def fadd(self, a: Val, b: Val, flags: str = "") -> Val:
        """a + b in floating point; `flags` are LLVM's fast-math flags."""
        return self.binary("fadd", a, b, flags)

    def fsub(self, a: Val, b: Val, flags: str = "") -> Val:
        """a - b in floating point."""
        return self.binary("fsub", a, b, flags)

    def fmul(self, a: Val, b: Val, flags: str = "") -> Val:
        """a * b in floating point."""
        return self.binary("fmul", a, b, flags)

    def fdiv(self, a: Val, b: Val, flags: str = "") -> Val:
        """a / b in floating point."""
        return self.binary("fdiv", a, b, flags)

    def fneg(self, a: Val) -> Val:
        """a with its sign flipped, NaN included."""
        return self.raw(a.type, f"fneg {a}")

    def fma(self, a: Val, b: Val, c: Val) -> Val:
        """a * b + c, rounded once."""
        return self.intrinsic("llvm.fma", a, b, c)

    def icmp(self, predicate: str, a: Val, b: Val) -> Val:
        """Integers or pointers compared by LLVM's predicate ("eq", "ult", "slt", ...): i1 lanes."""
        a, b = self.unify(a, b)
        return self.raw(LLType("i1", a.lanes), f"icmp {predicate} {a.type} {a.ref}, {b.ref}")

    def fcmp(self, predicate: str, a: Val, b: Val) -> Val:
        """Floats compared by LLVM's predicate ("oeq", "uno", ...): i1 lanes. Tests for NaN look at the bits
        where the target needs that."""
        a, b = self.unify(a, b)
        if self.module.nan_tests_of_integers and a.lanes > 1 and a.type.element in _INFINITY:
            predicate = _OF_ONESELF.get(predicate, predicate) if a.ref == b.ref else predicate
            if predicate in _WITH_NAN_TEST:
                return self._compare_after_nan_test(predicate, a, b)
        return self.raw(LLType("i1", a.lanes), f"fcmp {predicate} {a.type} {a.ref}, {b.ref}")

    def _compare_after_nan_test(self, predicate: str, a: Val, b: Val) -> Val:
        """`ord`, `uno`, `one` or `ueq`, with the tests for NaN made on the bits."""
        nan = self._is_nan(a) if a.ref == b.ref else self.binary("or", self._is_nan(a), self._is_nan(b))
        if predicate == "uno":
            return nan
        if predicate == "ueq":
            return self.binary("or", self.raw(nan.type, f"fcmp oeq {a}, {b.ref}"), nan)
        number = self.binary("xor", nan, self.int(1, nan.type))
        if predicate == "ord":
            return number
        return self.binary("and", self.raw(nan.type, f"fcmp une {a}, {b.ref}"), number)

    def _is_nan(self, a: Val) -> Val:
        magnitude, infinity = _INFINITY[a.type.element]
        bits = self.cast("bitcast", a, f"i{a.type.bits}")
        return self.icmp(
            "ugt", self.binary("and", bits, self.int(magnitude, bits.type)), self.int(infinity, bits.type)
        )

    def select(self, cond: Val, a: Val, b: Val) -> Val:
        """`a` where `cond` holds, else `b`; a constant condition writes nothing."""
        if cond.ref == "true":
            return a
        if cond.ref == "false":
            return b
        a, b = self.unify(a, b)
        if cond.lanes > a.lanes:
            a, b = self.splat(a, cond.lanes), self.splat(b, cond.lanes)
        return self.raw(a.type, f"select {cond}, {a}, {b}")

    def cast(self, opcode: str, val: Val, element: str) -> Val:
        """`trunc`, `zext`, `sext`, `fpext`, `fptrunc`, `sitofp`, `bitcast`, ... to `element` lanes."""
        if val.type.element == element:
            return val
        constant = val.constant_int
        if constant is not None and opcode in ("trunc", "sext") and val.type.bits > 1:
            return self.int(constant, LLType(element))
        if constant is not None and opcode == "zext":
            return self.int(constant & ((1 << val.type.bits) - 1), LLType(element))
        type = LLType(element, val.lanes)
        return self.raw(type, f"{opcode} {val} to {type}")

    def intrinsic(self, name: str, *args: Val, extra: Sequence[Val] = (), flags: str = "") -> Val:
        """Call `name.<type>` where all `args` and the result share one type; `extra` are appended.
        `flags` are those of fast mathematics."""
        vals = self.unify(*args)
        type = vals[0].type
        full = f"{name}.{mangle(type)}"
        return self.call(full, type, [*vals, *extra], flags=flags)

    def call(
        self, name: str, result: LLType | str, args: Sequence[Val], attrs: str = "", flags: str = ""
    ) -> Val:
        """Call function `name`, declaring it unless the module defines it."""
        if name not in self.module.functions:
            self.module.declare(name, result, [a.type for a in args], attrs)
        text = f"call {flags}{' ' if flags else ''}{result} @{name}({', '.join(map(str, args))})"
        if isinstance(result, str):
            self.effect(text)
            return Val("poison", PTR)
        return self.raw(result, text)

    # --- memory --------------------------------------------------------------------------
    def gep(self, base: Val, offset: Val | int) -> Val:
        """`base` plus `offset` bytes (scalar, or a vector of offsets)."""
        if isinstance(offset, int):
            offset = self.int(offset, I64)
        if offset.constant_int == 0:
            return base
        lanes = max(base.lanes, offset.lanes)
        return self.raw(LLType("ptr", lanes), f"getelementptr i8, {base}, {offset}")

    def load(self, type: LLType, ptr: Val, align: int, meta: str = "", volatile: bool = False) -> Val:
        """Load a value of a type; `align` is in bytes, `meta` the text of metadata that follows (",
        !alias.scope !1")."""
        word = "load volatile" if volatile else "load"
        return self.raw(type, f"{word} {type}, {ptr}, align {align}{meta}")

    def store(self, val: Val, ptr: Val, align: int, meta: str = "", volatile: bool = False) -> None:
        """Store a value; `align` is in bytes, `meta` the text of metadata that follows."""
        word = "store volatile" if volatile else "store"
        self.effect(f"{word} {val}, {ptr}, align {align}{meta}")


def round_to_f32(value: float) -> float:
    """`value` rounded to single precision, overflowing to infinity."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def pack_half(value: float) -> bytes:
    """The two bytes of `value` in half precision, overflowing to infinity."""
    try:
        return struct.pack("<e", value)
    except OverflowError:
        return struct.pack("<e", float("inf") if value > 0 else float("-inf"))

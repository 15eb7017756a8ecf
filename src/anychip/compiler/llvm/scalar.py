"""A builder for code of single numbers and addresses: Python's integers are constants of the other operand's
type, and accesses to memory are aligned as their types are, unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from .builder import Builder
from .types import I1, I64, NULL, LLType, Val, aggregate

Operand = Val | int


class Ordering(StrEnum):
    """How an atomic access is ordered with others (LLVM Language Reference, "Atomic Memory Ordering")."""

    MONOTONIC = "monotonic"
    ACQUIRE = "acquire"
    RELEASE = "release"


def natural_alignment(type: LLType) -> int:
    """Bytes at whose multiples a number of `type` lies; 0 for what depends on the target (addresses), and for
    aggregates."""
    known = type.element[0] == "i" or type.is_float
    return max(1, type.bits // 8) if known else 0


class ScalarBuilder(Builder):
    """Instructions on scalars."""

    def constant(self, value: Operand, type: LLType) -> Val:
        """`value`, a constant of `type` if it is a Python integer; 0 is also the null address."""
        if isinstance(value, Val):
            return value
        if type.element == "ptr":
            assert value == 0, f"{value} is no address that a program may write down"
            return NULL
        return self.float(float(value), type) if type.is_float else self.int(value, type)

    def same_type(self, a: Operand, b: Operand) -> tuple[Val, Val]:
        """Both as values of the type that one of them has."""
        known = a if isinstance(a, Val) else b
        assert isinstance(known, Val), "one operand must say what the type is"
        return self.constant(a, known.type), self.constant(b, known.type)

    # --- arithmetic ----------------------------------------------------------------------
    def binary(self, opcode: str, a: Operand, b: Operand, flags: str = "") -> Val:
        """Any instruction with two operands of one type."""
        return super().binary(opcode, *self.same_type(a, b), flags)

    def add(self, a: Operand, b: Operand) -> Val:
        """The sum."""
        return self.binary("add", a, b)

    def sub(self, a: Operand, b: Operand) -> Val:
        """The difference."""
        return self.binary("sub", a, b)

    def mul(self, a: Operand, b: Operand) -> Val:
        """The product."""
        return self.binary("mul", a, b)

    def udiv(self, a: Operand, b: Operand) -> Val:
        """The quotient of unsigned numbers, rounded down."""
        return self.binary("udiv", a, b)

    def urem(self, a: Operand, b: Operand) -> Val:
        """The remainder of unsigned numbers."""
        return self.binary("urem", a, b)

    def and_(self, a: Operand, b: Operand) -> Val:
        """Bitwise and; `true` and `false` fold."""
        return super().and_(*self.same_type(a, b))

    def or_(self, a: Operand, b: Operand) -> Val:
        """Bitwise or."""
        return self.binary("or", a, b)

    def xor(self, a: Operand, b: Operand) -> Val:
        """Bitwise exclusive or."""
        return self.binary("xor", a, b)

    def shl(self, a: Operand, b: Operand) -> Val:
        """`a` moved up by `b` bits."""
        return self.binary("shl", a, b)

    def lshr(self, a: Operand, b: Operand) -> Val:
        """`a` moved down by `b` bits, zeros following."""
        return self.binary("lshr", a, b)

    def ashr(self, a: Operand, b: Operand) -> Val:
        """`a` moved down by `b` bits, its sign following."""
        return self.binary("ashr", a, b)

    def not_(self, condition: Val) -> Val:
        """The opposite of an i1."""
        return self.xor(condition, 1)

    def any_of(self, values: Sequence[Val]) -> Val:
        """Bitwise or of some values: of conditions (i1), whether one of them is true."""
        total, *others = values
        for value in others:
            total = self.or_(total, value)
        return total

    def umin(self, a: Operand, b: Operand) -> Val:
        """The smaller of two unsigned numbers."""
        return self.intrinsic("llvm.umin", *self.same_type(a, b))

    def umax(self, a: Operand, b: Operand) -> Val:
        """The larger of two unsigned numbers."""
        return self.intrinsic("llvm.umax", *self.same_type(a, b))

    def smin(self, a: Operand, b: Operand) -> Val:
        """The smaller of two signed numbers."""
        return self.intrinsic("llvm.smin", *self.same_type(a, b))

    def smax(self, a: Operand, b: Operand) -> Val:
        """The larger of two signed numbers."""
        return self.intrinsic("llvm.smax", *self.same_type(a, b))

    def umul_overflow(self, a: Val, b: Val) -> tuple[Val, Val]:
        """The product of two unsigned i64, and whether it has more than 64 bits."""
        both = self.call("llvm.umul.with.overflow.i64", aggregate(I64, I1), [a, b])
        return self.extract_member(both, 0, I64), self.extract_member(both, 1, I1)

    # --- comparisons ---------------------------------------------------------------------
    def icmp(self, predicate: str, a: Operand, b: Operand) -> Val:
        """A comparison of integers or addresses (i1)."""
        return super().icmp(predicate, *self.same_type(a, b))

    def eq(self, a: Operand, b: Operand) -> Val:
        """Whether both are equal (i1)."""
        return self.icmp("eq", a, b)

    def ne(self, a: Operand, b: Operand) -> Val:
        """Whether they differ (i1)."""
        return self.icmp("ne", a, b)

    def ult(self, a: Operand, b: Operand) -> Val:
        """a < b of unsigned numbers (i1)."""
        return self.icmp("ult", a, b)

    def ule(self, a: Operand, b: Operand) -> Val:
        """a <= b of unsigned numbers (i1)."""
        return self.icmp("ule", a, b)

    def ugt(self, a: Operand, b: Operand) -> Val:
        """a > b of unsigned numbers (i1)."""
        return self.icmp("ugt", a, b)

    def uge(self, a: Operand, b: Operand) -> Val:
        """a >= b of unsigned numbers (i1)."""
        return self.icmp("uge", a, b)

    def slt(self, a: Operand, b: Operand) -> Val:
        """a < b of signed numbers (i1)."""
        return self.icmp("slt", a, b)

    def sgt(self, a: Operand, b: Operand) -> Val:
        """a > b of signed numbers (i1)."""
        return self.icmp("sgt", a, b)

    def sge(self, a: Operand, b: Operand) -> Val:
        """a >= b of signed numbers (i1)."""
        return self.icmp("sge", a, b)

    def select(self, cond: Val, a: Operand, b: Operand) -> Val:
        """`a` where `cond` (i1) is true, else `b`; both are computed."""
        return super().select(cond, *self.same_type(a, b))

    # --- conversions ---------------------------------------------------------------------
    def convert(self, opcode: str, value: Val, type: LLType) -> Val:
        """`value` as a `type` by a conversion of LLVM's (`zext`, `bitcast`, `ptrtoint`, ...); unchanged
        where it is one already."""
        return self.cast(opcode, value, type.element)

    def zext(self, value: Val, type: LLType = I64) -> Val:
        """An unsigned number with more bits."""
        return self.convert("zext", value, type)

    def sext(self, value: Val, type: LLType = I64) -> Val:
        """A signed number with more bits."""
        return self.convert("sext", value, type)

    def trunc(self, value: Val, type: LLType) -> Val:
        """The lowest bits of a number."""
        return self.convert("trunc", value, type)

    # --- members of aggregates -----------------------------------------------------------
    def extract_member(self, value: Val, number: int, type: LLType) -> Val:
        """A member of an aggregate value."""
        return self.raw(type, f"extractvalue {value}, {number}")

    def together(self, *members: Val) -> Val:
        """An aggregate of some values, e.g. for a function with two results."""
        type = aggregate(*(member.type for member in members))
        whole = Val("undef", type)
        for number, member in enumerate(members):
            whole = self.raw(type, f"insertvalue {whole}, {member}, {number}")
        return whole

    # --- memory --------------------------------------------------------------------------
    def gep(self, base: Val, offset: Operand) -> Val:
        """`base` plus `offset` bytes."""
        return super().gep(base, offset)

    def element(self, type: LLType, base: Val, index: Operand) -> Val:
        """The address of item `index` of an array of `type` at `base`."""
        index = self.constant(index, I64)
        return (
            base if index.constant_int == 0 else self.raw(base.type, f"getelementptr {type}, {base}, {index}")
        )

    def load(self, type: LLType, ptr: Val, align: int = 0, meta: str = "", volatile: bool = False) -> Val:
        """What stands in memory. `align` 0 is the type's own."""
        word = "load volatile" if volatile else "load"
        return self.raw(type, f"{word} {type}, {ptr}{_aligned(type, align)}{meta}")

    def store(self, val: Val, ptr: Val, align: int = 0, meta: str = "", volatile: bool = False) -> None:
        """Write to memory. `align` 0 is the type's own."""
        word = "store volatile" if volatile else "store"
        self.effect(f"{word} {val}, {ptr}{_aligned(val.type, align)}{meta}")

    def atomic_load(self, type: LLType, ptr: Val, ordering: Ordering = Ordering.MONOTONIC) -> Val:
        """What an integer in memory is, while other threads may change it."""
        return self.raw(type, f"load atomic {type}, {ptr} {ordering}{_aligned(type)}")

    def atomic_store(self, value: Val, ptr: Val, ordering: Ordering = Ordering.MONOTONIC) -> None:
        """Write an integer that other threads may look at."""
        self.effect(f"store atomic {value}, {ptr} {ordering}{_aligned(value.type)}")

    def atomic_add(self, ptr: Val, value: Val, ordering: Ordering = Ordering.MONOTONIC) -> Val:
        """Add to an integer in memory; what it was before."""
        return self.raw(value.type, f"atomicrmw add {ptr}, {value} {ordering}")

    def atomic_max(self, ptr: Val, value: Val, ordering: Ordering = Ordering.MONOTONIC) -> Val:
        """Raise an unsigned integer in memory to `value` if it is less; what it was before."""
        return self.raw(value.type, f"atomicrmw umax {ptr}, {value} {ordering}")

    def atomic_exchange(self, ptr: Val, value: Val, ordering: Ordering = Ordering.MONOTONIC) -> Val:
        """Replace an integer in memory; what it was before."""
        return self.raw(value.type, f"atomicrmw xchg {ptr}, {value} {ordering}")

    def atomic_replace(self, ptr: Val, expected: Operand, value: Val) -> Val:
        """Replace an integer in memory if it is `expected`; whether it was (i1)."""
        known = self.constant(expected, value.type)
        order = f"{Ordering.MONOTONIC} {Ordering.MONOTONIC}"
        both = self.raw(aggregate(value.type, I1), f"cmpxchg {ptr}, {known}, {value} {order}")
        return self.extract_member(both, 1, I1)

    def copy_memory(self, to: Val, source: Val, bytes: int) -> None:
        """Copy bytes between places that do not overlap."""
        arguments = [to, source, self.int(bytes, I64), self.int(0, I1)]
        self.call("llvm.memcpy.p0.p0.i64", "void", arguments)

    def stack_array(self, type: LLType, count: Val, align: int) -> Val:
        """The address of `count` items of `type` on the stack, a number that is known when the code runs."""
        return self.raw(NULL.type, f"alloca {type}, {count}, align {align}")


def _aligned(type: LLType, align: int = 0) -> str:
    align = align or natural_alignment(type)
    return f", align {align}" if align else ""

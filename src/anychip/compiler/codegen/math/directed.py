"""Arithmetic and conversions under a stated rounding: to nearest (`_rn`), towards zero (`_rz`),
down (`_rd`) and up (`_ru`).

The result to nearest is corrected by one place according to the sign of what it lost. f32 is
computed in f64, where products are exact and other results lose far less. f64, and f32 on machines
without f64, recover the loss from an error-free transformation, so that a product below 2^-969 (2^-102)
may be rounded to nearest.
"""

from __future__ import annotations

from collections.abc import Callable

from ...llvm.types import LLType
from .expression import Formula, Num
from .rounding import ceil, floor, rint, round_half_away, trunc
from .table import function

MODES = ("rn", "rz", "rd", "ru")

Exact = tuple[Num, Num]
"""A value to nearest in f64, and an approximation of what it lost, right in sign and zero."""


def correct(m: Formula, near: Num, lost: Num, mode: str) -> Num:
    """`near` moved by one place when `lost` says that it is on the wrong side."""
    if mode == "rn":
        return near
    bits = near.bits()
    below, above = lost < 0.0, lost > 0.0
    down = m.where(bits < 0, bits + 1, bits - 1)
    up = m.where(bits < 0, bits - 1, bits + 1)
    sign = near.layout.sign_mask
    down = m.where(near.eq(0.0), m.integer(sign | 1, near.layout.integer), down)
    up = m.where(near.eq(0.0), m.integer(1, near.layout.integer), up)
    if mode == "rd":
        result = m.where(below, down, bits)
    elif mode == "ru":
        result = m.where(above, up, bits)
    else:
        result = m.where((near > 0.0) & below, bits - 1, bits)
        result = m.where((near < 0.0) & above, bits - 1, result)
    return result.as_float()


def _to_f32(m: Formula, exact: Exact, mode: str) -> Num:
    value, lost = exact
    near = value.cast("fptrunc", "float")
    difference = value - near.cast("fpext", "double")
    difference = m.where(difference.eq(0.0), lost, difference)
    difference = m.where(value.abs() < float("inf"), difference, 0.0)
    single = m.where(difference > 0.0, m.constant(1.0), m.where(difference < 0.0, m.constant(-1.0), 0.0))
    return correct(m, near, single.cast("fptrunc", "float"), mode)


def _by_pairs(m: Formula, exact: Exact, mode: str, finite: Num) -> Num:
    """An overflow of finite operands lost an infinite amount, towards the result's sign."""
    value, lost = exact
    overflow = value.abs().eq(float("inf"))
    lost = m.where(overflow, m.where(finite, -value, 0.0), lost)
    return correct(m, value, lost, mode)


def _add(m: Formula, a: Num, b: Num) -> Exact:
    return m.two_sum(a, b)


def _subtract(m: Formula, a: Num, b: Num) -> Exact:
    return m.two_sum(a, -b)


def _multiply(m: Formula, a: Num, b: Num) -> Exact:
    return m.two_product(a, b)


def _divide(m: Formula, a: Num, b: Num) -> Exact:
    quotient = a / b
    product, error = m.two_product(quotient, b)
    rest = (a - product) - error
    rest = m.where(b < 0.0, -rest, rest)
    return quotient, m.where(a.eq(0.0) | b.abs().eq(float("inf")), 0.0, rest)


def _reciprocal(m: Formula, b: Num) -> Exact:
    return _divide(m, m.constant(1.0), b)


def _square_root(m: Formula, a: Num) -> Exact:
    root = a.sqrt()
    product, error = m.two_product(root, root)
    return root, m.where(a.eq(0.0), 0.0, (a - product) - error)


def _multiply_add(m: Formula, a: Num, b: Num, c: Num) -> Exact:
    high, low = m.two_product(a, b)
    total, rest = m.two_sum(high, c)
    rest, least = m.two_sum(rest, low)
    total, rest = m.fast_two_sum(total, rest)
    return total, rest + least


OPERATIONS: dict[str, tuple[int, Callable[..., Exact]]] = {
    "add": (2, _add),
    "sub": (2, _subtract),
    "mul": (2, _multiply),
    "div": (2, _divide),
    "rcp": (1, _reciprocal),
    "sqrt": (1, _square_root),
    "fma": (3, _multiply_add),
}


def _register(operation: str, arity: int, exact: Callable[..., Exact], mode: str) -> None:
    @function(f"{operation}_{mode}", arity=arity)
    def body(m: Formula, *args: Num) -> Num:
        if args[0].layout.bits == 32 and m.target.f64:
            wide = Formula(m.b, m.target, "double", m.lanes)
            value = exact(wide, *(Num(wide, a.cast("fpext", "double").val) for a in args))
            return _to_f32(wide, value, mode)
        finite = args[0].abs() < float("inf")
        for a in args[1:]:
            finite = finite & (a.abs() < float("inf"))
        if operation in ("div", "rcp"):
            finite = finite & args[-1].ne(0.0)
        return _by_pairs(m, exact(m, *args), mode, finite)


for _name, (_arity, _exact) in OPERATIONS.items():
    for _mode in MODES:
        _register(_name, _arity, _exact, _mode)


@function("rsqrt_rn")
def rsqrt_rn(m: Formula, x: Num) -> Num:
    """1 / sqrt(x), rounded to nearest."""
    if x.layout.bits == 64 or not m.target.f64:
        return 1.0 / x.sqrt()
    wide = x.cast("fpext", "double")
    return (1.0 / wide.sqrt()).cast("fptrunc", "float")


@function("rcp", inline=True)
def rcp(m: Formula, x: Num) -> Num:
    """1 / x, rounded to nearest."""
    return 1.0 / x


ROUNDERS = {"rn": rint, "rz": trunc, "rd": floor, "ru": ceil}


def _register_to_integer(source: str, target: str, element: str, signed: bool, mode: str) -> None:
    @function(
        f"{source}2{target}_{mode}", elements=("float" if source == "float" else "double",), inline=True
    )
    def body(m: Formula, x: Num) -> Num:
        whole = ROUNDERS[mode](m, x)
        lanes = f"v{m.lanes}" if m.lanes > 1 else ""
        name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{lanes}{element}.{lanes}f{x.layout.bits}"
        return Num(m, m.b.call(name, LLType(element, m.lanes), [whole.val]))


def _integer_exactly(m: Formula, x: Num, signed: bool) -> Exact:
    """An integer register, no wider than the formula's type, as a value to nearest and what that lost."""
    bits = x.val.type.bits
    if bits < m.layout.bits:
        return x.cast("sitofp" if signed else "uitofp", m.element), m.constant(0.0)
    half = bits // 2
    high = (x >> half) if signed else x.logical_shift(half)
    low = x & ((1 << half) - 1)
    return m.fast_two_sum(high.cast("sitofp", m.element) * 2.0**half, low.cast("sitofp", m.element))


def _register_from_integer(source: str, element: str, signed: bool, target: str, mode: str) -> None:
    @function(f"{source}2{target}_{mode}", elements=(element,), inline=True)
    def body(m: Formula, x: Num) -> Num:
        narrow = target == "float" and element == "i32" and not m.target.f64
        wide = Formula(m.b, m.target, "float" if narrow else "double", m.lanes)
        exact = _integer_exactly(wide, Num(wide, x.val), signed)
        if target == "float" and not narrow:
            return _to_f32(wide, exact, mode)
        return correct(wide, *exact, mode)


INTEGER_NAMES = {"int": ("i32", True), "uint": ("i32", False), "ll": ("i64", True), "ull": ("i64", False)}

for _mode in MODES:
    for _integer, (_element, _signed) in INTEGER_NAMES.items():
        for _float in ("float", "double"):
            _register_to_integer(_float, _integer, _element, _signed, _mode)
            _register_from_integer(_integer, _element, _signed, _float, _mode)

    @function(f"double2float_{_mode}", elements=("double",), inline=True)
    def _narrow(m: Formula, x: Num, mode: str = _mode) -> Num:
        return _to_f32(m, (x, m.constant(0.0)), mode)


def _register_rounded(name: str, rounder: Callable[[Formula, Num], Num]) -> None:
    @function(name, inline=True)
    def body(m: Formula, x: Num) -> Num:
        lanes = f"v{m.lanes}" if m.lanes > 1 else ""
        whole = rounder(m, x)
        name = f"llvm.fptosi.sat.{lanes}i64.{lanes}f{x.layout.bits}"
        return Num(m, m.b.call(name, LLType("i64", m.lanes), [whole.val]))


_register_rounded("llrint", rint)
_register_rounded("llround", round_half_away)

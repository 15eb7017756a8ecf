"""The names of NVIDIA's libdevice and what they mean here.

In: a symbol such as `__nv_expf`, as TTIR's `extern_elementwise` carries it. Out: the canonical
function of `codegen.math` with the types of its arguments and result. The same table, by Triton's
function names, makes the module that kernels import as `libdevice`. Functions called `fast_` are
as exact as the others. Source of the names: NVIDIA, Libdevice User's Guide.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ..llvm.builder import Builder
from ..llvm.types import Val
from ..targets.target import Target
from .math import emit


@dataclass(frozen=True, slots=True)
class Overload:
    """One symbol: the canonical function behind it, and Triton's names of its types."""

    symbol: str
    function: str
    arguments: tuple[str, ...]
    result: str


_REAL: dict[int, str] = {
    1: """floor rsqrt ceil trunc exp2 sqrt rint nearbyint sin cos sinpi cospi tan log2 exp exp10 cosh sinh
          tanh atan asin acos log log10 log1p acosh asinh atanh expm1 cbrt rcbrt j0 j1 y0 y1 cyl_bessel_i0
          cyl_bessel_i1 erf erfinv erfc erfcx erfcinv normcdfinv normcdf lgamma tgamma round logb""",
    2: "copysign nextafter atan2 hypot rhypot fmod remainder fdim pow",
    3: "norm3d rnorm3d fma",
    4: "norm4d rnorm4d",
}
"""Functions of reals: the f64 symbol is `__nv_` and the name, the f32 symbol has an `f` behind."""

_ALIASES = {"nearbyint": "rint"}

_FAST = {
    "sin": 1,
    "cos": 1,
    "log2": 1,
    "log": 1,
    "exp": 1,
    "tan": 1,
    "tanh": 1,
    "exp10": 1,
    "log10": 1,
    "pow": 2,
}
"""f32 functions with a `fast_...f` form -> number of arguments."""

_DIRECTED = {
    "add": ("__nv_fadd", "__nv_dadd", 2),
    "sub": ("__nv_fsub", "__nv_dsub", 2),
    "mul": ("__nv_fmul", "__nv_dmul", 2),
    "div": ("__nv_fdiv", "__nv_ddiv", 2),
    "rcp": ("__nv_frcp", "__nv_drcp", 1),
    "sqrt": ("__nv_fsqrt", "__nv_dsqrt", 1),
    "fma": ("__nv_fmaf", "__nv_fma", 3),
}
"""Arithmetic under a rounding mode: the f32 and f64 symbols without `_rn` and its kin."""

_MODES = ("rn", "rz", "rd", "ru")

_TO_INTEGER = {"int": "int32", "uint": "int32", "ll": "int64", "ull": "int64"}
_FROM_INTEGER = {"int": "int32", "uint": "uint32", "ll": "int64", "ull": "uint64"}
_FLOATS = {"float": "fp32", "double": "fp64"}

_OTHERS: tuple[tuple[str, str, str, str, str], ...] = (
    ("clz", "__nv_clz", "clz", "int32", "int32"),
    ("clz", "__nv_clzll", "clz", "int64", "int32"),
    ("popc", "__nv_popc", "popc", "int32", "int32"),
    ("popc", "__nv_popcll", "popc", "int64", "int32"),
    ("ffs", "__nv_ffs", "ffs", "int32", "int32"),
    ("ffs", "__nv_ffsll", "ffs", "int64", "int32"),
    ("brev", "__nv_brev", "brev", "int32", "int32"),
    ("brev", "__nv_brevll", "brev", "int64", "int64"),
    ("byte_perm", "__nv_byte_perm", "byte_perm", "int32 int32 int32", "int32"),
    ("mulhi", "__nv_mulhi", "mulhi", "int32 int32", "int32"),
    ("mulhi", "__nv_umulhi", "umulhi", "uint32 uint32", "uint32"),
    ("mulhi", "__nv_mul64hi", "mulhi", "int64 int64", "int64"),
    ("mulhi", "__nv_umul64hi", "umulhi", "uint64 uint64", "uint64"),
    ("mul24", "__nv_mul24", "mul24", "int32 int32", "int32"),
    ("mul24", "__nv_umul24", "umul24", "uint32 uint32", "uint32"),
    ("sad", "__nv_sad", "sad", "int32 int32 uint32", "int32"),
    ("sad", "__nv_usad", "usad", "uint32 uint32 uint32", "uint32"),
    ("hadd", "__nv_hadd", "hadd", "int32 int32", "int32"),
    ("hadd", "__nv_uhadd", "uhadd", "uint32 uint32", "uint32"),
    ("rhadd", "__nv_rhadd", "rhadd", "int32 int32", "int32"),
    ("rhadd", "__nv_urhadd", "urhadd", "uint32 uint32", "uint32"),
    ("abs", "__nv_abs", "abs", "int32", "int32"),
    ("abs", "__nv_llabs", "abs", "int64", "int64"),
    ("abs", "__nv_fabsf", "abs", "fp32", "fp32"),
    ("abs", "__nv_fabs", "abs", "fp64", "fp64"),
    ("rcp64h", "__nv_rcp64h", "rcp64h", "fp64", "fp64"),
    ("saturatef", "__nv_saturatef", "saturate", "fp32", "fp32"),
    ("fast_dividef", "__nv_fast_fdividef", "fdividef", "fp32 fp32", "fp32"),
    ("rsqrt_rn", "__nv_frsqrt_rn", "rsqrt_rn", "fp32", "fp32"),
    ("int2double_rn", "__nv_int2double_rn", "int2double_rn", "int32", "fp64"),
    ("uint2double_rn", "__nv_uint2double_rn", "uint2double_rn", "uint32", "fp64"),
    ("hiloint2double", "__nv_hiloint2double", "hiloint2double", "int32 int32", "fp64"),
    ("double2loint", "__nv_double2loint", "double2loint", "fp64", "int32"),
    ("double2hiint", "__nv_double2hiint", "double2hiint", "fp64", "int32"),
    ("int_as_float", "__nv_int_as_float", "int_as_float", "int32", "fp32"),
    ("float_as_int", "__nv_float_as_int", "float_as_int", "fp32", "int32"),
    ("uint_as_float", "__nv_uint_as_float", "int_as_float", "uint32", "fp32"),
    ("float_as_uint", "__nv_float_as_uint", "float_as_int", "fp32", "int32"),
    ("longlong_as_double", "__nv_longlong_as_double", "longlong_as_double", "int64", "fp64"),
    ("double_as_longlong", "__nv_double_as_longlong", "double_as_longlong", "fp64", "int64"),
    ("llrint", "__nv_llrintf", "llrint", "fp32", "int64"),
    ("llrint", "__nv_llrint", "llrint", "fp64", "int64"),
    ("llround", "__nv_llroundf", "llround", "fp32", "int64"),
    ("llround", "__nv_llround", "llround", "fp64", "int64"),
    ("isnan", "__nv_isnanf", "isnan", "fp32", "int32"),
    ("isnan", "__nv_isnand", "isnan", "fp64", "int32"),
    ("isinf", "__nv_isinff", "isinf", "fp32", "int32"),
    ("isinf", "__nv_isinfd", "isinf", "fp64", "int32"),
    ("signbit", "__nv_signbitf", "signbit", "fp32", "int32"),
    ("signbit", "__nv_signbitd", "signbit", "fp64", "int32"),
    ("finitef", "__nv_finitef", "isfinite", "fp32", "int32"),
    ("isfinited", "__nv_isfinited", "isfinite", "fp64", "int32"),
    ("ilogb", "__nv_ilogbf", "ilogb", "fp32", "int32"),
    ("ilogb", "__nv_ilogb", "ilogb", "fp64", "int32"),
    ("ldexp", "__nv_ldexpf", "ldexp", "fp32 int32", "fp32"),
    ("ldexp", "__nv_ldexp", "ldexp", "fp64 int32", "fp64"),
    ("scalbn", "__nv_scalbnf", "ldexp", "fp32 int32", "fp32"),
    ("scalbn", "__nv_scalbn", "ldexp", "fp64 int32", "fp64"),
    ("pow", "__nv_powif", "powi", "fp32 int32", "fp32"),
    ("pow", "__nv_powi", "powi", "fp64 int32", "fp64"),
    ("jn", "__nv_jnf", "jn", "int32 fp32", "fp32"),
    ("jn", "__nv_jn", "jn", "int32 fp64", "fp64"),
    ("yn", "__nv_ynf", "yn", "int32 fp32", "fp32"),
    ("yn", "__nv_yn", "yn", "int32 fp64", "fp64"),
)
"""Irregular rows: Triton's name, symbol, canonical function, argument types, result type."""


def _rows() -> list[tuple[str, Overload]]:
    rows = [
        (name, Overload(symbol, function, tuple(arguments.split()), result))
        for name, symbol, function, arguments, result in _OTHERS
    ]
    for arity, names in _REAL.items():
        for name in names.split():
            for suffix, real in (("f", "fp32"), ("", "fp64")):
                function = _ALIASES.get(name, name)
                rows.append((name, Overload(f"__nv_{name}{suffix}", function, (real,) * arity, real)))
    for name, arity in _FAST.items():
        rows.append((f"fast_{name}f", Overload(f"__nv_fast_{name}f", name, ("fp32",) * arity, "fp32")))
    for mode in _MODES:
        for name, (single, double, arity) in _DIRECTED.items():
            for prefix, real in ((single, "fp32"), (double, "fp64")):
                function = f"{name}_{mode}"
                rows.append((function, Overload(f"{prefix}_{mode}", function, (real,) * arity, real)))
        name = f"double2float_{mode}"
        rows.append((name, Overload(f"__nv_{name}", name, ("fp64",), "fp32")))
        for real_name, real in _FLOATS.items():
            for integer_name in _TO_INTEGER:
                name = f"{real_name}2{integer_name}_{mode}"
                rows.append((name, Overload(f"__nv_{name}", name, (real,), _TO_INTEGER[integer_name])))
                if real_name == "double" and integer_name in ("int", "uint"):
                    continue  # exact in f64: only the `_rn` forms exist
                name = f"{integer_name}2{real_name}_{mode}"
                rows.append((name, Overload(f"__nv_{name}", name, (_FROM_INTEGER[integer_name],), real)))
    return rows


def _by_name() -> dict[str, tuple[Overload, ...]]:
    grouped: dict[str, list[Overload]] = {}
    for name, overload in _rows():
        grouped.setdefault(name, []).append(overload)
    return {name: tuple(overloads) for name, overloads in grouped.items()}


FUNCTIONS: dict[str, tuple[Overload, ...]] = _by_name()
"""Triton's name of a libdevice function -> its overloads."""

SYMBOLS: dict[str, Overload] = {o.symbol: o for overloads in FUNCTIONS.values() for o in overloads}
"""Every symbol -> its meaning."""


def lookup(symbol: str) -> Overload:
    """The meaning of a libdevice symbol; C's plain name (`expf`, `exp`) is accepted, too.

    Raises KeyError with a message that names the symbol and the nearest known ones.
    """
    found = SYMBOLS.get(symbol) or SYMBOLS.get(f"__nv_{symbol}")
    if found is None:
        near = difflib.get_close_matches(symbol, SYMBOLS, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"no function {symbol!r} in libdevice{hint}")
    return found


def emit_libdevice(b: Builder, symbol: str, args: Sequence[Val], target: Target) -> Val:
    """Call what `symbol` stands for; registers must have the types of its overload.

    Raises KeyError for an unknown symbol and ValueError for a wrong number of arguments.
    """
    return emit(b, lookup(symbol).function, args, target)

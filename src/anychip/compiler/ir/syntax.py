"""How TTIR prints each operation that is not in MLIR's generic form.

One table: operation -> `Syntax`. The shape is always the same, and a `Syntax` says what varies:

    name [leading,...] [%operands] [keyword = value | flags<...> | unit] [{attributes}] [: types] [-> types]

Operations with a shape of their own (functions, loops, branches, constants, print) are in
`control_syntax.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = "first"
"""The results have the first type that is printed."""
LAST = "last"
"""The result has the last type that is printed."""
ALL = "all"
"""Each result has its own printed type."""
ARROW = "arrow"
"""The result types follow `->` or `to`."""
TRUTH = "truth"
"""The result is an `i1` of the shape of the printed type."""
POINTEE = "pointee"
"""The result is what the printed pointer type points to."""
ELEMENT = "element"
"""The result is one element of the printed type."""
NOTHING = "nothing"
"""There is no result."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """What an operation prints. `leading` names the words before the operands, `text` the attribute that a
    string among the operands sets, `marks` the words before some operands (the attribute of that name is
    the list of their positions); `brackets` says that some operands are printed in brackets, `bare` that
    there is nothing but the leading words."""

    result: str
    leading: tuple[str, ...] = ()
    text: str = ""
    marks: tuple[str, ...] = ()
    brackets: bool = False
    bare: bool = False


_SAME = Syntax(FIRST)
_CAST = Syntax(ARROW)
_END = Syntax(NOTHING)

_ARITH_SAME = """addi subi muli divsi divui remsi remui ceildivsi ceildivui floordivsi andi ori xori shli
    shrsi shrui maxsi maxui minsi minui addf subf mulf divf remf negf maximumf minimumf maxnumf minnumf
    mului_extended mulsi_extended"""
_ARITH_CAST = """extf extsi extui truncf trunci sitofp uitofp fptosi fptoui bitcast index_cast
    index_castui"""
_MATH_SAME = """absf absi acos acosh asin asinh atan atan2 atanh cbrt ceil clampf copysign cos cosh ctlz
    ctpop cttz erf erfc exp exp2 expm1 floor fma ipowi log log10 log1p log2 powf round roundeven rsqrt sin
    sinh sqrt tan tanh trunc fpowi"""
_MATH_TEST = "isfinite isinf isnan isnormal"
_TT_SAME = "addptr precise_sqrt precise_divf approx_divf mulhiui clampf"
_TT_CAST = """int_to_ptr ptr_to_int bitcast fp_to_fp splat expand_dims reshape broadcast cat join split
    trans dot histogram extern_elementwise"""
_TT_END = "reduce.return scan.return map_elementwise.return return"

SYNTAX: dict[str, Syntax] = {
    **{f"arith.{name}": _SAME for name in _ARITH_SAME.split()},
    **{f"arith.{name}": _CAST for name in _ARITH_CAST.split()},
    **{f"math.{name}": _SAME for name in _MATH_SAME.split()},
    **{f"math.{name}": Syntax(TRUTH) for name in _MATH_TEST.split()},
    **{f"tt.{name}": _SAME for name in _TT_SAME.split()},
    **{f"tt.{name}": _CAST for name in _TT_CAST.split()},
    **{f"tt.{name}": _END for name in _TT_END.split()},
    "arith.addui_extended": Syntax(ALL),
    "arith.cmpi": Syntax(TRUTH, leading=("predicate",)),
    "arith.cmpf": Syntax(TRUTH, leading=("predicate",)),
    "arith.select": Syntax(LAST),
    "ub.poison": _SAME,
    "scf.yield": _END,
    "tt.unsplat": Syntax(ELEMENT),
    "tt.get_program_id": Syntax(FIRST, leading=("axis",)),
    "tt.get_num_programs": Syntax(FIRST, leading=("axis",)),
    "tt.make_range": _SAME,
    "tt.load": Syntax(POINTEE),
    "tt.store": _END,
    "tt.atomic_rmw": Syntax(ARROW, leading=("kind", "sem", "scope")),
    "tt.atomic_cas": Syntax(ARROW, leading=("sem", "scope")),
    "tt.atomic_load": Syntax(ARROW, leading=("sem", "scope")),
    "tt.atomic_store": Syntax(NOTHING, leading=("sem", "scope")),
    "tt.atomic_poll": Syntax(ARROW, leading=("sem", "scope"), marks=("timeout",)),
    "tt.dot_scaled": Syntax(ARROW, marks=("scale",)),
    "tt.gather": Syntax(ARROW, brackets=True),
    "tt.assert": Syntax(NOTHING, text="message"),
    "tt.elementwise_inline_asm": Syntax(ARROW, leading=("asm_string",)),
    "llvm.intr.assume": _END,
    "gpu.barrier": Syntax(NOTHING, bare=True),
    "ttg.barrier": Syntax(NOTHING, leading=("fence",), bare=True),
    "tt.grid_dependency_wait": Syntax(NOTHING, bare=True),
    "tt.grid_dependency_launch_dependents": Syntax(NOTHING, bare=True),
}

SYNONYMS: dict[str, str] = dict.fromkeys(
    ("ttg.barrier", "tt.grid_dependency_wait", "tt.grid_dependency_launch_dependents"), "gpu.barrier"
)
"""Operations that another version of Triton prints under another name."""

REFUSED: dict[str, str] = {
    "tt.make_tensor_descriptor": "run add_rewrite_tensor_descriptor_to_pointer before",
    "tt.descriptor_": "run add_rewrite_tensor_descriptor_to_pointer before",
    "!tt.tensordesc": "run add_rewrite_tensor_descriptor_to_pointer before",
    "tt.make_tensor_ptr": "run add_rewrite_tensor_pointer before",
    "tt.advance": "run add_rewrite_tensor_pointer before",
    "ttg.": "this is an operation of a GPU's later stage, not of TTIR",
    "ttng.": "this is an operation of a GPU's later stage, not of TTIR",
}
"""What stands at the start of a token that the parser refuses, and what to do about it."""

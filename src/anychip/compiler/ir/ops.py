"""The operations of the tile IR: what each one's operands and attributes are after parsing.

`OPS` is the one table. The parser brings attributes into the normal form given here (names, plain Python
values, the same for Triton 3.6 to 3.9), the verifier checks operands and types against it, and the later
stages read the flags: elementwise, reads or writes memory, ends a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from .core import Op

REQUIRED = object()
"""The default of an attribute that must be there."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute in normal form. `printed` are its names in TTIR; `words` maps what TTIR prints, or the
    numbers of the generic form, to the normal value; `default` is used when it is not printed; `kind` is
    its Python type where `words` does not say it."""

    name: str
    default: Any = REQUIRED
    printed: tuple[str, ...] = ()
    words: Mapping[Any, Any] = field(default_factory=lambda: MappingProxyType({}))
    kind: type | None = None


@dataclass(frozen=True, slots=True)
class OpInfo:
    """What is known of an operation.

    `operands` names them in order: `?` marks one that may be missing (only at the end), `*` any number.
    `results` is their number, or None when it varies. `rule` is the verifier's rule for types.
    """

    name: str
    operands: tuple[str, ...] = ()
    results: int | None = 1
    rule: str = ""
    attrs: tuple[Attribute, ...] = ()
    regions: int = 0
    successors: int = 0
    elementwise: bool = False
    terminator: bool = False
    reads: bool = False
    writes: bool = False
    prepare: Callable[[Op], None] | None = None
    finish: Callable[[Op], None] | None = None

    def position(self, operand: str) -> int | None:
        """The position of the operand with a name, whether it may be missing or not; None: there is none."""
        names = [name.rstrip("?*") for name in self.operands]
        return names.index(operand) if operand in names else None

    @property
    def arity(self) -> tuple[int, int | None]:
        """The smallest and the largest number of operands (None: no limit)."""
        least = sum(1 for name in self.operands if name[-1] not in "?*")
        return least, None if any(name[-1] == "*" for name in self.operands) else len(self.operands)


def normalise(info: OpInfo, op: Op, fail: Callable[[str], NoReturn]) -> None:
    """Bring the attributes of `op` into normal form; `fail` is called with what is wrong."""
    attrs = op.attrs
    if info.prepare is not None:
        info.prepare(op)
    for attribute in info.attrs:
        for name in attribute.printed:
            if name in attrs:
                attrs[attribute.name] = attrs.pop(name)
        name = attribute.name
        if name not in attrs:
            if attribute.default is REQUIRED:
                fail(f"{op.name} has no attribute {name!r}")
            attrs[name] = attribute.default
        elif attribute.words:
            value = attrs[name]
            try:
                attrs[name] = attribute.words[value]
            except (KeyError, TypeError):
                fail(f"{op.name}: {value!r} is no value of {name!r}")
        elif attribute.kind is not None and type(attrs[name]) is not attribute.kind:
            fail(f"{op.name}: {attrs[name]!r} is no {attribute.kind.__name__}, as {name!r} must be")
    if info.finish is not None:
        info.finish(op)


def _numbered(words: str, first: int = 0) -> Mapping[Any, Any]:
    """The cases of an enumeration, by word and by number."""
    cases: dict[Any, Any] = {}
    for number, word in enumerate(words.split(), first):
        cases[word] = cases[number] = word
    return MappingProxyType(cases)


_AXES = MappingProxyType({"x": 0, "y": 1, "z": 2, 0: 0, 1: 1, 2: 2})
_CACHE = _numbered("none ca cg wb cs wt cv", 1)
_EVICTION = _numbered("evict_normal evict_first evict_last", 1)
_SEMANTICS = _numbered("relaxed acquire release acq_rel", 1)
_SCOPES = _numbered("gpu cta sys", 1)
_RMW = _numbered("and or xor add fadd max min umax umin exch", 1)
_CMPI = _numbered("eq ne slt sle sgt sge ult ule ugt uge")
_CMPF = _numbered("false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true")
_ROUNDING = MappingProxyType({**_numbered("rtz rtne"), None: None})
_PROPAGATE = MappingProxyType({"none": False, "all": True, 0xFFFF: True, False: False, True: True})
_PRECISION = _numbered("tf32 tf32x3 ieee bf16x3 bf16x6")
_BYTES = MappingProxyType({kind: kind for kind in ("s8", "u8", *(f"u{bits}" for bits in range(1, 8)))})
_SCALED = _numbered("e4m3 e5m2 e2m3 e3m2 e2m1 bf16 fp16")


def _memory_hints(op: Op) -> None:
    """Triton 3.9 prints both hints in one attribute."""
    op.attrs.pop("operandSegmentSizes", None)
    policy = op.attrs.pop("cachePolicy", None)
    if isinstance(policy, dict):
        op.attrs["cache"] = policy.get("cache_modifier", "none")
        op.attrs["eviction"] = policy.get("eviction_policy", "evict_normal")


def _scaled_operands(op: Op) -> None:
    """Scales are printed behind the operand they scale; in normal form they follow the accumulator."""
    attrs = op.attrs
    segments = attrs.pop("operandSegmentSizes", None)
    printed = attrs.pop("scale", None)
    if segments is not None:
        sizes = [*segments, 0, 0, 0, 0, 0][:5]
        attrs["a_scale"] = 3 if sizes[3] else None
        attrs["b_scale"] = 3 + bool(sizes[3]) if sizes[4] else None
    elif printed is not None:
        scales = [op.operands[index] for index in printed if index < len(op.operands)]
        op.operands = [value for index, value in enumerate(op.operands) if index not in printed] + scales
        attrs["a_scale"] = 3 if printed[0] == 1 else None
        attrs["b_scale"] = 2 + len(scales) if printed[-1] != 1 else None


def _poll_timeout(op: Op) -> None:
    """The third operand is the timeout, and its mark says no more."""
    op.attrs.pop("timeout", None)


def _print_signs(op: Op) -> None:
    signs = op.attrs["is_signed"]
    op.attrs["is_signed"] = [bool(sign) for sign in signs] if isinstance(signs, (tuple, list)) else []


def _branch_arguments(op: Op) -> None:
    """In the generic form, the arguments of the successors are the last operands."""
    segments = op.attrs.pop("operandSegmentSizes", None)
    if op.name == "cf.br" and op.operands:
        op.successors = [(block, op.operands) for block, _ in op.successors]
        op.operands = []
    elif segments is not None and len(segments) == 3 and len(op.successors) == 2:
        condition, first = segments[0], segments[0] + segments[1]
        blocks = [block for block, _ in op.successors]
        op.successors = [(blocks[0], op.operands[condition:first]), (blocks[1], op.operands[first:])]
        op.operands = op.operands[:condition]


_FASTMATH = Attribute("fastmath", "none", kind=str)
_OVERFLOW = Attribute("overflow", "none", ("overflowFlags",), kind=str)
_EFFICIENT = Attribute("efficient_layout", False, kind=bool)
_AXIS = Attribute("axis", kind=int)
_HINTS = (
    Attribute("cache", "none", ("cacheModifier",), _CACHE),
    Attribute("eviction", "evict_normal", ("evictionPolicy",), _EVICTION),
    Attribute("cachePolicy", None),
)
_VOLATILE = Attribute("volatile", False, ("isVolatile",), kind=bool)
_SEM = Attribute("sem", "acq_rel", (), _SEMANTICS)
_SCOPE = Attribute("scope", "gpu", (), _SCOPES)


def _elementwise(names: str, operands: str, rule: str, *attrs: Attribute, results: int = 1) -> list[OpInfo]:
    kinds = tuple(operands.split())
    return [OpInfo(name, kinds, results, rule, attrs, elementwise=True) for name in names.split()]


def _prefixed(dialect: str, names: str) -> str:
    return " ".join(f"{dialect}.{name}" for name in names.split())


_TABLE: list[OpInfo] = [
    # arith
    OpInfo("arith.constant", (), 1, "constant", (Attribute("value"),)),
    *_elementwise(_prefixed("arith", "addi subi muli shli"), "a b", "same integer", _OVERFLOW),
    *_elementwise(
        _prefixed(
            "arith",
            """divsi divui remsi remui ceildivsi ceildivui floordivsi andi ori xori shrsi shrui maxsi maxui
            minsi minui""",
        ),
        "a b",
        "same integer",
    ),
    *_elementwise(_prefixed("arith", "mului_extended mulsi_extended"), "a b", "same integer", results=2),
    *_elementwise("arith.addui_extended", "a b", "sum and carry", results=2),
    *_elementwise(
        _prefixed("arith", "addf subf mulf divf remf maximumf minimumf maxnumf minnumf"),
        "a b",
        "same float",
        _FASTMATH,
    ),
    *_elementwise("arith.negf", "a", "same float", _FASTMATH),
    *_elementwise("arith.cmpi", "a b", "compare", Attribute("predicate", words=_CMPI)),
    *_elementwise("arith.cmpf", "a b", "compare", Attribute("predicate", words=_CMPF), _FASTMATH),
    *_elementwise("arith.select", "condition a b", "select"),
    *_elementwise(_prefixed("arith", "extsi extui"), "a", "widen integer"),
    *_elementwise("arith.trunci", "a", "narrow integer", _OVERFLOW),
    *_elementwise("arith.extf", "a", "widen float", _FASTMATH),
    *_elementwise("arith.truncf", "a", "narrow float", _FASTMATH, Attribute("roundingmode", None)),
    *_elementwise(_prefixed("arith", "sitofp uitofp"), "a", "integer to float"),
    *_elementwise(_prefixed("arith", "fptosi fptoui"), "a", "float to integer"),
    *_elementwise("arith.bitcast", "a", "same bits"),
    *_elementwise(_prefixed("arith", "index_cast index_castui"), "a", "integer to integer"),
    # math
    *_elementwise(
        _prefixed(
            "math",
            """absf acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp exp2 expm1 floor log
            log10 log1p log2 round roundeven rsqrt sin sinh sqrt tan tanh trunc""",
        ),
        "a",
        "same float",
        _FASTMATH,
    ),
    *_elementwise(_prefixed("math", "atan2 copysign powf"), "a b", "same float", _FASTMATH),
    *_elementwise("math.fma", "a b c", "same float", _FASTMATH),
    *_elementwise("math.clampf", "a minimum maximum", "same float", _FASTMATH),
    *_elementwise(_prefixed("math", "absi ctlz ctpop cttz"), "a", "same integer"),
    *_elementwise("math.ipowi", "a b", "same integer"),
    *_elementwise("math.fpowi", "a b", "same shape", _FASTMATH),
    *_elementwise(_prefixed("math", "isfinite isinf isnan isnormal"), "a", "test", _FASTMATH),
    # Elementwise operations of tt.
    *_elementwise("tt.addptr", "pointer offset", "addptr"),
    *_elementwise("tt.int_to_ptr", "a", "integer to pointer"),
    *_elementwise("tt.ptr_to_int", "a", "pointer to integer"),
    *_elementwise("tt.bitcast", "a", "same bits"),
    *_elementwise("tt.fp_to_fp", "a", "float to float", Attribute("rounding", None, (), _ROUNDING)),
    *_elementwise(
        "tt.clampf",
        "a minimum maximum",
        "same float",
        Attribute("propagate_nan", printed=("propagateNan",), words=_PROPAGATE),
    ),
    *_elementwise(
        "anychip.dot_bytes",
        "a b total",
        "same integer",
        Attribute("left", words=_BYTES),
        Attribute("right", words=_BYTES),
    ),
    *_elementwise("tt.precise_sqrt", "a", "same float"),
    *_elementwise("tt.precise_divf tt.approx_divf", "a b", "same float"),
    *_elementwise("tt.mulhiui", "a b", "same integer"),
    *_elementwise(
        "tt.extern_elementwise",
        "args*",
        "same shape",
        Attribute("symbol", kind=str),
        Attribute("libname", "", kind=str),
        Attribute("libpath", "", kind=str),
        Attribute("pure", True, kind=bool),
    ),
    OpInfo(
        "tt.elementwise_inline_asm",
        ("args*",),
        None,
        "",
        (
            Attribute("asm_string", kind=str),
            Attribute("constraints", kind=str),
            Attribute("pure", False, kind=bool),
            Attribute("packed_element", 1, kind=int),
        ),
        elementwise=True,
    ),
    OpInfo("tt.map_elementwise", ("args*",), None, "map", (Attribute("pack", 1, kind=int),), regions=1),
    OpInfo("tt.map_elementwise.return", ("args*",), 0, terminator=True),
    # Programs, ranges and shapes.
    OpInfo("tt.get_program_id", (), 1, "", (Attribute("axis", words=_AXES),)),
    OpInfo("tt.get_num_programs", (), 1, "", (Attribute("axis", words=_AXES),)),
    OpInfo("tt.make_range", (), 1, "range", (Attribute("start", kind=int), Attribute("end", kind=int))),
    OpInfo("tt.splat", ("a",), 1, "splat"),
    OpInfo("tt.unsplat", ("a",), 1, "unsplat"),
    OpInfo("tt.expand_dims", ("a",), 1, "expand", (_AXIS,)),
    OpInfo("tt.broadcast", ("a",), 1, "broadcast"),
    OpInfo(
        "tt.reshape",
        ("a",),
        1,
        "reshape",
        (Attribute("allow_reorder", False, kind=bool), _EFFICIENT),
    ),
    OpInfo("tt.trans", ("a",), 1, "transpose", (Attribute("order", kind=tuple),)),
    OpInfo("tt.join", ("a", "b"), 1, "join"),
    OpInfo("tt.split", ("a",), 2, "split"),
    OpInfo("tt.cat", ("a", "b"), 1, "cat"),
    # Memory.
    OpInfo(
        "tt.load",
        ("pointer", "mask?", "other?"),
        1,
        "load",
        (_VOLATILE, *_HINTS),
        reads=True,
        prepare=_memory_hints,
    ),
    OpInfo("tt.store", ("pointer", "value", "mask?"), 0, "store", _HINTS, writes=True, prepare=_memory_hints),
    OpInfo(
        "tt.atomic_rmw",
        ("pointer", "value", "mask?"),
        1,
        "update",
        (Attribute("kind", printed=("atomic_rmw_op",), words=_RMW), _SEM, _SCOPE),
        reads=True,
        writes=True,
    ),
    OpInfo(
        "tt.atomic_cas",
        ("pointer", "expected", "value"),
        1,
        "exchange",
        (_SEM, _SCOPE),
        reads=True,
        writes=True,
    ),
    OpInfo("tt.atomic_load", ("pointer", "mask?"), 1, "load", (_SEM, _SCOPE), reads=True),
    OpInfo("tt.atomic_store", ("pointer", "value", "mask?"), 0, "store", (_SEM, _SCOPE), writes=True),
    OpInfo(
        "tt.atomic_poll",
        ("pointer", "expected", "timeout?"),
        1,
        "poll",
        (_SEM, _SCOPE),
        reads=True,
        writes=True,
        finish=_poll_timeout,
    ),
    # Tiles as a whole.
    OpInfo(
        "tt.dot",
        ("a", "b", "c"),
        1,
        "dot",
        (
            Attribute("input_precision", "ieee", ("inputPrecision",), _PRECISION),
            Attribute("max_num_imprecise_acc", 0, ("maxNumImpreciseAcc",), kind=int),
        ),
    ),
    OpInfo(
        "tt.dot_scaled",
        ("a", "b", "c", "scale?", "scale?"),
        1,
        "dot scaled",
        (
            Attribute("a_scale", None),
            Attribute("b_scale", None),
            Attribute("a_elem_type", printed=("lhs",), words=_SCALED),
            Attribute("b_elem_type", printed=("rhs",), words=_SCALED),
            Attribute("fast_math", False, ("fastMath",), kind=bool),
            Attribute("lhs_k_pack", True, kind=bool),
            Attribute("rhs_k_pack", True, kind=bool),
        ),
        finish=_scaled_operands,
    ),
    OpInfo("tt.reduce", ("args*",), None, "reduce", (_AXIS,), regions=1),
    OpInfo("tt.reduce.return", ("args*",), 0, terminator=True),
    OpInfo("tt.scan", ("args*",), None, "scan", (_AXIS, Attribute("reverse", False, kind=bool)), regions=1),
    OpInfo("tt.scan.return", ("args*",), 0, terminator=True),
    OpInfo("tt.histogram", ("a", "mask?"), 1, "histogram"),
    OpInfo("tt.gather", ("a", "indices"), 1, "gather", (_AXIS, _EFFICIENT)),
    # Effects and calls.
    OpInfo(
        "tt.print",
        ("args*",),
        0,
        "",
        (
            Attribute("prefix", kind=str),
            Attribute("hex", False, kind=bool),
            Attribute("is_signed", (), ("isSigned",)),
        ),
        writes=True,
        finish=_print_signs,
    ),
    OpInfo("tt.assert", ("condition",), 0, "truth", (Attribute("message", "", kind=str),), writes=True),
    OpInfo("tt.call", ("args*",), None, "", (Attribute("callee", kind=str),), reads=True, writes=True),
    OpInfo("tt.return", ("args*",), 0, terminator=True),
    OpInfo("anychip.region", (), None, "", regions=1, reads=True, writes=True),
    OpInfo("gpu.barrier", (), 0, writes=True),
    OpInfo("anychip.clock", (), 1, reads=True, writes=True),
    OpInfo("anychip.table", ("index",), 1, "", (Attribute("values", kind=tuple),)),
    OpInfo("llvm.intr.assume", ("condition",), 0, "truth", writes=True),
    OpInfo("ub.poison", (), 1),
    # Control flow.
    OpInfo("scf.for", ("lower", "upper", "step", "args*"), None, "for", regions=1),
    OpInfo("scf.if", ("condition",), None, "if", regions=2),
    OpInfo("scf.while", ("args*",), None, "while", regions=2),
    OpInfo("scf.condition", ("condition", "args*"), 0, "condition", terminator=True),
    OpInfo("scf.yield", ("args*",), 0, terminator=True),
    OpInfo(
        "cf.br",
        (),
        0,
        attrs=(Attribute("operandSegmentSizes", None),),
        successors=1,
        terminator=True,
        finish=_branch_arguments,
    ),
    OpInfo(
        "cf.cond_br",
        ("condition",),
        0,
        attrs=(Attribute("operandSegmentSizes", None),),
        successors=2,
        terminator=True,
        finish=_branch_arguments,
    ),
]

OPS: dict[str, OpInfo] = {info.name: info for info in _TABLE}
"""Every operation by name."""

MASK_OPERAND: dict[str, int] = {
    name: position for name, info in OPS.items() if (position := info.position("mask")) is not None
}
"""Operation -> which of its operands is the mask, where it has one."""

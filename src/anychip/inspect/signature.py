"""Settle the types and constants that a kernel is to be explained for.

Flows in: a Triton kernel, and what the user said of its parameters (`--sig`, `--const`). Flows out:
a `Signature` with a type for every parameter, which of them were assumed, and the constants. What
the user did not say is taken from annotations, default values and the autotuner's first
configuration, then guessed from the parameter's use and name; a guess is always reported.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..suggestions import did_you_mean
from .errors import InspectionError
from .kernel_file import jit_function

DEFAULT_POINTER = "*fp32"
DEFAULT_INTEGER = "i32"
DEFAULT_FLOAT = "fp32"
ALIGNMENT = 16
TILE_OF_RANK_ONE = 1024
TILE_OF_HIGHER_RANK = 64

_TYPE = re.compile(r"^(\*k?)?(i1|i8|i16|i32|i64|u1|u8|u16|u32|u64|fp16|bf16|fp32|fp64|fp8\w+)$")
_POINTER_NAME = re.compile(r"(^|_)p(oin)?te?rs?$|_ptr(_|$)|^p_|^ptr_", re.IGNORECASE)
_FLOAT_NAME = re.compile(
    r"(^|_)(eps|epsilon|scale|alpha|beta|gamma|p|prob|rate|lr|momentum|slope|smoothing|softcap|temperature)$",
    re.IGNORECASE,
)
TILE_NAME = re.compile(r"^(BLOCK|TILE|HEAD_DIM|B[MNKD]?$|XBLOCK|YBLOCK|RBLOCK)", re.IGNORECASE)
_SWITCH_NAME = re.compile(r"^(IS|HAS|USE|ENABLE|RETURN|STORE|APPLY|WITH|DO)_")
_GROUP_NAME = re.compile(r"^GROUP")
_MEMORY_CALL = re.compile(r"^(load|store)$|^atomic_|block_ptr|descriptor")
_LOCK_CALL = re.compile(r"^atomic_(cas|xchg)$")
_SEVERAL = 2
_STAGES_NAME = re.compile(r"^num_stages$", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """Types (Triton's notation, `constexpr` included) and constants of a kernel's parameters."""

    types: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    options: dict[str, int] = field(default_factory=dict)

    def describe(self) -> dict[str, str]:
        """Every parameter with its type or value, as the user would write it on the command line."""
        return {
            name: repr(self.constants[name]) if kind == "constexpr" else kind
            for name, kind in self.types.items()
        }


def settle(kernel: Any, said_types: dict[str, str], said_constants: dict[str, str]) -> Signature:
    """The signature to compile `kernel` for; raises InspectionError for unknown names and bad types."""
    function = jit_function(kernel)
    names = [parameter.name for parameter in function.params]
    for name in (*said_types, *said_constants):
        if name not in names:
            raise InspectionError(
                f"kernel {function.__name__} has no parameter {name!r}.", did_you_mean(name, names)
            )
    defaults, options = _autotuned(kernel)
    pointers = _pointer_parameters(function)
    tiles = sum(
        bool(TILE_NAME.search(p.name)) and p.name not in defaults for p in function.params if p.is_constexpr
    )
    types: dict[str, str] = {}
    constants: dict[str, Any] = {}
    aligned: list[str] = []
    assumed: list[str] = []
    for parameter in function.params:
        name = parameter.name
        if name in said_constants:
            types[name], constants[name] = "constexpr", parse_constant(said_constants[name])
        elif name in said_types:
            kind, _, hint = said_types[name].partition(":")
            if not _TYPE.match(kind):
                value = parse_constant(kind)
                if isinstance(value, str):
                    raise InspectionError(
                        f"--sig {name}={said_types[name]}: not a type.",
                        "Types are i1 to i64, u8 to u64, fp16, bf16, fp32, fp64 and fp8...; a pointer to "
                        "fp32 is *fp32; *fp32:16 and i32:16 say that the value is divisible by 16.",
                    )
                types[name], constants[name] = "constexpr", value
                continue
            types[name] = kind
            if hint or kind.startswith("*"):
                aligned.append(name)
        elif parameter.is_constexpr:
            types[name] = "constexpr"
            constants[name] = _constant_of(parameter, defaults, tiles, assumed, function.__name__)
        elif parameter.annotation_type:
            types[name] = parameter.annotation_type
        else:
            types[name] = _guess_type(parameter, pointers.get(name, ""))
            assumed.append(name)
            if types[name].startswith("*"):
                aligned.append(name)
    return Signature(types, constants, tuple(aligned), tuple(assumed), options)


def parse_constant(text: str) -> Any:
    """A constant as written on the command line: a number, True, None, a tuple, tl.float32, or text."""
    if text.startswith("tl."):
        import triton.language as tl

        dtype = getattr(tl, text[3:], None)
        if not isinstance(dtype, tl.dtype):
            raise InspectionError(f"{text} is not an element type of triton.language.")
        return dtype
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def pairs(arguments: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` arguments of a repeated option as a dictionary."""
    parsed = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.isidentifier() or (not value and option == "--sig"):
            raise InspectionError(
                f"{option} {argument}: expected name=value.",
                f"For example: {option} {'BLOCK=1024' if option == '--const' else 'x_ptr=*fp32'}",
            )
        parsed[name] = value
    return parsed


def _autotuned(kernel: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """Constants and launch options of the first configuration of an autotuner around the kernel."""
    layer = kernel
    while layer is not None:
        configurations = getattr(layer, "configs", None)
        if configurations:
            first = configurations[0]
            return dict(first.kwargs), {"num_warps": first.num_warps, "num_stages": first.num_stages}
        layer = getattr(layer, "fn", None)
    return {}, {}


def _constant_of(
    parameter: Any, defaults: dict[str, Any], tiles: int, assumed: list[str], kernel_name: str
) -> Any:
    name = parameter.name
    if name in defaults:
        return defaults[name]
    if parameter.has_default:
        return getattr(parameter.default, "value", parameter.default)
    assumed.append(name)
    if TILE_NAME.search(name):
        return TILE_OF_HIGHER_RANK if tiles >= _SEVERAL else TILE_OF_RANK_ONE
    if _SWITCH_NAME.search(name):
        return False
    if _GROUP_NAME.search(name):
        return 8
    if _STAGES_NAME.search(name):
        return 2
    raise InspectionError(
        f"kernel {kernel_name}: no value is known for the constant {name!r}.",
        f"Give one: --const {name}=VALUE",
    )


def _guess_type(parameter: Any, pointer: str) -> str:
    """The type of a parameter; `pointer` is the one that its use suggests, or empty."""
    if parameter.has_default and parameter.default is not inspect.Parameter.empty:
        default = parameter.default
        if isinstance(default, bool):
            return "i1"
        if isinstance(default, int | float):
            return DEFAULT_FLOAT if isinstance(default, float) else DEFAULT_INTEGER
    if pointer or _POINTER_NAME.search(parameter.name):
        return pointer or DEFAULT_POINTER
    return DEFAULT_FLOAT if _FLOAT_NAME.search(parameter.name) else DEFAULT_INTEGER


def _pointer_parameters(function: Any) -> dict[str, str]:
    """Parameters that the body uses as the base of an address, and the type that this suggests.

    The base of an address is the one term of the sum, followed through local variables, that is a
    parameter; where several are, those whose name says so, or else the first.
    """
    tree = ast.parse(inspect.cleandoc("\n" + _body_text(function)))
    parameters = {parameter.name for parameter in function.params if not parameter.is_constexpr}
    definitions: dict[str, list[ast.expr]] = {}
    addresses: list[tuple[ast.expr, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            definitions.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if _MEMORY_CALL.search(node.func.attr):
                kind = "*i32" if _LOCK_CALL.search(node.func.attr) else DEFAULT_POINTER
                addresses.append((node.args[0], kind))
    found: dict[str, str] = {}
    for address, kind in addresses:
        bases = _terms(address, definitions, parameters, set())
        named = [base for base in bases if _POINTER_NAME.search(base)]
        for base in named or bases[:1]:
            if found.get(base, DEFAULT_POINTER) == DEFAULT_POINTER:
                found[base] = kind
    return found


def _terms(
    expression: ast.expr, definitions: dict[str, list[ast.expr]], parameters: set[str], seen: set[str]
) -> list[str]:
    """Parameters that are terms of the sum `expression`, from left to right."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add | ast.Sub):
        left = _terms(expression.left, definitions, parameters, seen)
        return left + _terms(expression.right, definitions, parameters, seen)
    if not isinstance(expression, ast.Name) or expression.id in seen:
        return []
    name = expression.id
    found = [name] if name in parameters else []
    for definition in definitions.get(name, []):
        found += _terms(definition, definitions, parameters, seen | {name})
    return found


def _body_text(function: Any) -> str:
    """The kernel's source from its `def` on."""
    return getattr(function, "src", None) or inspect.getsource(function.fn)

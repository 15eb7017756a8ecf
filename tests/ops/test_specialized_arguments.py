"""An integer argument of a kernel that is 1 becomes a constant of the compiler's, which has no `.to`. No
kernel calls it on an argument that may be one: `tl.cast(argument, dtype)` takes both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anychip

POINTERS = {"distinct": {"out", "source"}}
"""Parameters that are pointers, where the function itself does not show it."""
ROOMS = [Path(anychip.__file__).parent / room for room in ("ops", "llm")]


@dataclass
class Jitted:
    """A `@triton.jit` function: its parameters, which of them may be constants, its calls."""

    node: ast.FunctionDef
    place: str
    imported: dict[str, str]
    maybe: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.parameters = [one.arg for one in self.node.args.args]
        every = list(ast.walk(self.node))
        self.calls = [x for x in every if isinstance(x, ast.Call)]
        self.names = [x for x in every if isinstance(x, ast.Name)]
        self.first_write: dict[str, int] = {}
        for name in self.names:
            if isinstance(name.ctx, ast.Store):
                line = self.first_write.get(name.id, name.lineno)
                self.first_write[name.id] = min(line, name.lineno)

    def unchanged(self, name: ast.expr) -> bool:
        """Whether an expression is a parameter that may be a constant, before it is assigned to."""
        if not isinstance(name, ast.Name) or name.id not in self.maybe:
            return False
        return name.lineno <= self.first_write.get(name.id, name.lineno)


def decorator(node: ast.AST) -> ast.expr | None:
    for given in getattr(node, "decorator_list", []):
        name = given.func if isinstance(given, ast.Call) else given
        if isinstance(name, ast.Attribute) and name.attr == "jit":
            return given
    return None


def jitted(source: str, place: str) -> Iterator[Jitted]:
    nodes = list(ast.walk(ast.parse(source)))
    imports = [x for x in nodes if isinstance(x, ast.ImportFrom)]
    imported = {one.name: (x.module or "").split(".")[-1] for x in imports for one in x.names}
    for node in nodes:
        if decorator(node) is not None and isinstance(node, ast.FunctionDef):
            yield Jitted(node, f"{place}:{node.name}", imported)


def callees(function: Jitted, name: str, by_name: dict[str, list[Jitted]]) -> list[Jitted]:
    """What a call may mean: a function of the same file, or of a file that it is imported from."""
    found = by_name.get(name, [])
    here = function.place.split(":")[0]
    home = function.imported.get(name)
    if home is None:
        return [one for one in found if one.place.split(":")[0] == here]
    return [one for one in found if Path(one.place.split(":")[0]).stem == home] or found


def is_constant(function: Jitted, name: str) -> bool:
    """A parameter that is said to be a constant, or never to become one."""
    given = decorator(function.node)
    words = ast.dump(given) if isinstance(given, ast.Call) else ""
    by_name = {one.arg: one for one in function.node.args.args}
    annotation = by_name[name].annotation
    return (annotation is not None and "constexpr" in ast.dump(annotation)) or f"'{name}'" in words


def pointers(function: Jitted) -> set[str]:
    """Parameters whose element type is asked for, or that memory is read or written through."""
    found = {
        x.value.id
        for x in ast.walk(function.node)
        if isinstance(x, ast.Attribute) and x.attr == "dtype" and isinstance(x.value, ast.Name)
    }
    for x in function.calls:
        if isinstance(x.func, ast.Attribute) and x.args:
            if x.func.attr in ("load", "store") or x.func.attr.startswith("atomic_"):
                at = x.args[0]
                while isinstance(at, ast.BinOp):
                    at = at.left
                if isinstance(at, ast.Name):
                    found.add(at.id)
    return found


def faults(functions: list[Jitted]) -> list[str]:
    """Where `.to` may meet a constant: kernels' own arguments, and what they hand to functions."""
    by_name: dict[str, list[Jitted]] = {}
    for function in functions:
        by_name.setdefault(function.node.name, []).append(function)
    called = {x.func.id for f in functions for x in f.calls if isinstance(x.func, ast.Name)}
    for function in functions:
        gives = any(isinstance(x, ast.Return) and x.value for x in ast.walk(function.node))
        if not gives and function.node.name not in called:  # a kernel
            apart = pointers(function)
            function.maybe = {
                one for one in function.parameters if one not in apart and not is_constant(function, one)
            }
    grown = True
    while grown:
        grown = False
        for function in functions:
            for call in function.calls:
                for callee in callees(function, getattr(call.func, "id", ""), by_name):
                    handed = [*zip(callee.parameters, call.args, strict=False)]
                    handed += [(x.arg, x.value) for x in call.keywords if x.arg in callee.parameters]
                    for name, value in handed:
                        literal = isinstance(value, ast.Constant) and type(value.value) in (int, float)
                        known = callee.maybe | POINTERS.get(callee.node.name, set())
                        if name not in known and (literal or function.unchanged(value)):
                            callee.maybe.add(name)
                            grown = True
    return [
        f"{function.place}:{call.lineno}: {call.func.value.id}.to"
        for function in functions
        for call in function.calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "to"
        and function.unchanged(call.func.value)
        and isinstance(call.func.value, ast.Name)
    ]


def test_no_kernel_converts_what_may_be_a_constant() -> None:
    functions = [
        function
        for room in ROOMS
        for path in sorted(room.rglob("*.py"))
        for function in jitted(path.read_text(encoding="utf-8"), f"{room.name}/{path.relative_to(room)}")
    ]
    assert len(functions) > 700
    assert faults(functions) == []


def test_the_check_finds_both_kinds() -> None:
    source = """
@triton.jit
def inner(x, scale):
    return x * scale.to(tl.float32)

@triton.jit
def kernel(out, rows, length, WIDTH: tl.constexpr):
    row = rows.to(tl.int64) + tl.program_id(0)
    rows = row + 1
    rows = rows.to(tl.int32)
    tl.store(out + row, inner(tl.load(out), length).to(out.dtype.element_ty))

@triton.jit(do_not_specialize=("seed",))
def other(out, seed):
    tl.store(out + tl.program_id(0), seed.to(tl.int64) + tl.cast(seed, tl.int64))
"""
    assert faults([*jitted(source, "here")]) == ["here:inner:4: scale.to", "here:kernel:8: rows.to"]

"""Take one Triton kernel out of a Python file without running the file's main program.

Flows in: a path and the name of a `@triton.jit` function. Flows out: that function. Only the
top-level statements that the kernel depends on are executed (its imports, constants and the
functions it calls), so a script that benchmarks or plots when it is run can be explained too.
"""

from __future__ import annotations

import ast
import builtins
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..suggestions import did_you_mean
from .errors import InspectionError

if TYPE_CHECKING:
    from triton.runtime.jit import JITFunction


def load_kernel(path: Path, name: str) -> Any:
    """The kernel `name` of the file, as its decorators left it (a JITFunction, an Autotuner...).

    Raises InspectionError when the file cannot be read or parsed, has no such kernel, or when a
    statement that the kernel depends on fails.
    """
    tree = _parsed(path)
    kernels = kernel_names(tree)
    if name not in kernels:
        raise InspectionError(f"{path} has no kernel named {name!r}.", did_you_mean(name, kernels))
    return _executed(path, tree, name)


def kernels_in(path: Path) -> list[str]:
    """Names of the kernels of a file, in its order. Raises InspectionError if it cannot be read or parsed."""
    return kernel_names(_parsed(path))


def load_name(path: Path, name: str) -> Any:
    """What the file's top level binds to `name`, e.g. the function around a kernel.

    Raises InspectionError as `load_kernel` does.
    """
    tree = _parsed(path)
    if not any(name in _names_bound(statement) for statement in tree.body):
        raise InspectionError(f"{path} has nothing named {name!r} at its top level.")
    return _executed(path, tree, name)


def _parsed(path: Path) -> ast.Module:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InspectionError(f"cannot read {path}: {error}", "Give the path of a Python file.") from error
    try:
        return ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise InspectionError(f"{path}:{error.lineno}: not Python: {error.msg}") from error


def _executed(path: Path, tree: ast.Module, name: str) -> Any:
    """`name` after the statements that it depends on were executed in a module of their own."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sliced = ast.Module(body=_statements_needed(tree, name), type_ignores=[])
    sys.path.insert(0, str(path.parent))
    try:
        exec(compile(sliced, str(path), "exec"), module.__dict__)
    except Exception as error:
        line = _line_in(error, str(path))
        raise InspectionError(
            f"{path}:{line}: {type(error).__name__}: {error}",
            f"This statement is one that {name!r} depends on; it must run by itself.",
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    return module.__dict__[name]


def jit_function(kernel: Any) -> JITFunction[Any]:
    """The JITFunction inside an autotuner, heuristics or other wrapper."""
    from triton.runtime.jit import JITFunction

    inner = kernel
    while not isinstance(inner, JITFunction):
        inner = getattr(inner, "fn", None)
        if inner is None:
            raise InspectionError(
                f"{kernel!r} is not a Triton kernel.", "Decorate the function with @triton.jit."
            )
    return inner


def kernel_names(tree: ast.Module) -> list[str]:
    """Names of the module's functions that a decorator with `jit` in its name makes kernels."""
    bound = set().union(*(_names_bound(statement) for statement in tree.body))
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name in bound
        and any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def _statements_needed(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The top-level statements that bind `name` and, transitively, every name those use."""
    binders: dict[str, list[int]] = {}
    star_imports: set[int] = set()
    for index, statement in enumerate(tree.body):
        for bound in _names_bound(statement):
            if bound == "*":
                star_imports.add(index)
            binders.setdefault(bound, []).append(index)
    needed = {
        index
        for index, statement in enumerate(tree.body)
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
    } | star_imports
    wanted, seen = [name], set(dir(builtins))
    while wanted:
        current = wanted.pop()
        if current in seen:
            continue
        seen.add(current)
        for index in binders.get(current, []):
            if index not in needed:
                needed.add(index)
                wanted.extend(_names_used(tree.body[index]))
    return [tree.body[index] for index in sorted(needed)]


def _names_bound(statement: ast.stmt) -> set[str]:
    """Names that executing a top-level statement can bind in the module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    for field in ("body", "orelse", "finalbody"):
        for inner in getattr(statement, field, []):
            names |= _names_bound(inner)
    for handler in getattr(statement, "handlers", []):
        for inner in handler.body:
            names |= _names_bound(inner)
    return names


def _names_used(statement: ast.AST) -> set[str]:
    """Names that a statement looks up in the module: not the parameters and variables of functions."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        signature = statement.args
        outside = [*statement.decorator_list, *signature.defaults, *filter(None, signature.kw_defaults)]
        parameters = [*signature.posonlyargs, *signature.args, *signature.kwonlyargs]
        parameters += filter(None, [signature.vararg, signature.kwarg])
        outside += [parameter.annotation for parameter in parameters if parameter.annotation is not None]
        inside = set().union(*(_names_used(node) for node in statement.body))
        local = {parameter.arg for parameter in parameters}
        for node in statement.body:
            local |= _names_bound(node)
        return inside - local | set().union(*(_names_used(node) for node in outside))
    if isinstance(statement, ast.Name):
        return {statement.id}
    if isinstance(statement, ast.Constant) and isinstance(statement.value, str):
        # An annotation or a name written as a string.
        return {statement.value} if statement.value.isidentifier() else set()
    return set().union(*(_names_used(node) for node in ast.iter_child_nodes(statement)))


def _line_in(error: BaseException, filename: str) -> int:
    """The last line of `filename` in the error's traceback."""
    line, entry = 0, error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code.co_filename == filename:
            line = entry.tb_lineno
        entry = entry.tb_next
    return line

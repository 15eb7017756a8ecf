"""Every public module, class, function and method of the library says what it is for.

Kernels are left out: Triton's cache and the database of measurements know them by their source, and what
launches them is documented. So are methods that Python itself calls (`__init__`, `__str__`, ...), which
their class explains.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src" / "anychip"
LATER = ("author/", "llm/attention/")
"""Rooms that are being written: they join when they are finished."""


def decorated(node: ast.AST, *names: str) -> bool:
    """Whether a function has a decorator whose last name is one of `names`."""
    found = [
        ast.unparse(each).partition("(")[0].rpartition(".")[2] for each in getattr(node, "decorator_list", [])
    ]
    return any(name in found for name in names)


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The public definitions of a module or class, under conditions too, that have no docstring."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from undocumented(node.body, prefix)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or decorated(node, "jit", "overload", "setter"):
            continue
        if ast.get_docstring(node) is None:
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{node.name}.")


def missing(text: str) -> list[str]:
    """What has no docstring in a module's text."""
    tree = ast.parse(text)
    own = [] if ast.get_docstring(tree) else ["the module"]
    return [*own, *undocumented(tree.body)]


def test_everything_public_is_documented() -> None:
    files = {path.relative_to(SOURCES).as_posix(): path for path in sorted(SOURCES.rglob("*.py"))}
    assert len(files) > 600
    found = {
        name: missing(path.read_text(encoding="utf-8"))
        for name, path in files.items()
        if not name.startswith(LATER)
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_what_has_no_docstring_is_named() -> None:
    text = """
class Known:
    \"\"\"Said.\"\"\"
    def method(self): ...
    def _private(self): ...
    @property
    def asked(self):
        \"\"\"Said.\"\"\"
@triton.jit
def kernel(x): ...
if True:
    def function(): ...
"""
    assert missing(text) == ["the module", "Known.method", "function"]

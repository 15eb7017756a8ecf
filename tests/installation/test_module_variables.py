"""A module's variables are its own: no other module of the package gives them another value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import anychip

PACKAGE = Path(anychip.__file__).parent


def modules_of(tree: ast.AST, file: Path) -> set[str]:
    """The names under which a part of a file imports modules of the package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                if (base / f"{alias.name}.py").exists() or (base / alias.name / "__init__.py").exists():
                    found.add(alias.asname or alias.name)
    return found


def set_from_outside(source: str, file: Path) -> Iterator[str]:
    """The assignments of a file to variables of modules that it imports, with the line of each."""
    parts = ast.parse(source).body
    everywhere = set()
    for part in parts:
        if not isinstance(part, ast.FunctionDef | ast.ClassDef):
            everywhere |= modules_of(part, file)
    for part in parts:
        modules = everywhere | modules_of(part, file)
        for node in ast.walk(part):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store | ast.Del):
                continue
            if isinstance(node.value, ast.Name) and node.value.id in modules:
                yield f"{file.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"


def test_no_module_sets_the_variables_of_another() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 500
    assert [found for file in files for found in set_from_outside(file.read_text(), file)] == []


@pytest.mark.parametrize(
    "line", ["tuned.sizes = {}", "a, tuned.sizes = 1, 2", "tuned.sizes += 1", "del tuned.sizes"]
)
def test_an_assignment_from_outside_is_found(line: str) -> None:
    file = PACKAGE / "ops" / "registry.py"
    assert list(set_from_outside(f"from . import tuned\n{line}", file)) == ["ops/registry.py:2: tuned.sizes"]

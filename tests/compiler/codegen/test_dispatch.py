"""Who emits what: every step has its emitter, every emitter is imported, and no file needs one above it."""

from __future__ import annotations

import ast
import typing
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from anychip.compiler import codegen
from anychip.compiler.codegen import dispatch, kernel
from anychip.compiler.codegen.elementwise import RULES as COMPUTED
from anychip.compiler.codegen.elementwise import SEVERAL
from anychip.compiler.codegen.evaluation import POINTWISE, RULES
from anychip.compiler.codegen.moves import MOVES
from anychip.compiler.codegen.per_element import ACTIONS
from anychip.compiler.codegen.scalars import SCALARS
from anychip.compiler.ir.ops import OPS
from anychip.compiler.schedule.steps import Jump, Step

ROOM = Path(codegen.__path__[0])
DECORATOR = "emits"


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOM).with_suffix("").parts)


FILES = {_name(path): ast.parse(path.read_text()) for path in sorted(ROOM.rglob("*.py"))}


def imported(name: str) -> set[str]:
    """The files of the room that a file imports anywhere: for types only and inside functions too."""
    folder = name.split(".")[:-1]
    found = set()
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(folder) + 1:
            parts = [*folder[: len(folder) + 1 - node.level], *(node.module or "").split(".")]
            base = ".".join(filter(None, parts))
            for alias in node.names:
                candidates = (f"{base}.{alias.name}".lstrip("."), base, f"{base}.__init__".lstrip("."))
                found.add(next(candidate for candidate in candidates if candidate in FILES))
    return found


def test_no_file_imports_one_that_imports_it() -> None:
    graph = {name: imported(name) for name in FILES}
    assert "linear" in graph["context"]
    assert "math.table" in graph["math.__init__"]
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")
    assert order.index("dispatch") < order.index("loops") < order.index("kernel")


def test_a_kernel_imports_every_file() -> None:
    """What nothing imports registers nothing."""
    found, pending = set(), ["kernel"]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += imported(name)
    assert found == FILES.keys() - {"__init__"}
    assert kernel.emit is dispatch.emit


def test_each_step_has_one_emitter() -> None:
    steps = typing.get_args(Step)
    assert dispatch.EMITTERS.keys() == set(steps)
    named = [
        ast.unparse(decorator.args[0])
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == DECORATOR
    ]
    assert sorted(named) == sorted(step.__name__ for step in steps)


def test_a_second_emitter_is_refused() -> None:
    before = dispatch.EMITTERS[Jump]
    with pytest.raises(AssertionError, match="Jump"):
        dispatch.emits(Jump)(lambda context, step: None)
    assert dispatch.EMITTERS[Jump] is before


def test_a_second_rule_is_refused() -> None:
    rules: dispatch.Rules[int] = dispatch.Rules()
    rules.register("tt.one", "tt.other")(1)
    with pytest.raises(AssertionError, match=r"tt\.other"):
        rules.register("tt.other")(2)
    assert rules == {"tt.one": 1, "tt.other": 1}


def test_rules_are_for_operations_that_there_are() -> None:
    """A rule under a misspelt name is never asked for; and no operation has rules of both kinds."""
    assert MOVES.keys() <= RULES.keys()
    assert not RULES.keys() & POINTWISE.keys()
    written = {*RULES, *POINTWISE, *COMPUTED, *SEVERAL, *SCALARS, *ACTIONS}
    assert {name for name in written - OPS.keys() if not name.startswith("anychip.")} == set()

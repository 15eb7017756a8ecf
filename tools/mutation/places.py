"""Where a mutation run may change the sources, and what a change makes of them.

Flows in: Python files. Flows out: places (a file, one of cosmic-ray's mutation operators, its occurrence in
that file), places drawn by a seed, and mutated text. Nothing is written here.

Places are drawn by line: every line that has places is as likely as any other, then one position on the line,
then one operator. Otherwise tables of numbers, and lines with many signs, would make up most of a sample.
"""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOMS = ("src/anychip/compiler", "src/anychip/ops")

UNUSED_OPERATORS = ("VariableReplacer", "VariableInserter")
"""Operators of cosmic-ray that need names of variables, which differ from file to file."""

REACH = 100
"""How many occurrences of an operator an edit may have put before a recorded place."""

UNCHANGED_FILES = {"src/anychip/ops/samples.py": "inputs of tests and benchmarks"}
NODES = {
    *("operator", "keyword", "number", "comparison", "factor", "not_test", "test", "ternary"),
    *("decorator", "for_stmt", "if_stmt", "while_stmt", "assert_stmt", "except_clause"),
}
"""Kinds of nodes at which any operator of cosmic-ray finds a position."""
PUNCTUATION = {"(", ")", "[", "]", "{", "}", ",", ".", ":", "=", "->", ":="}


@dataclass(frozen=True, order=True)
class Place:
    """One change of one file: `operator` is cosmic-ray's name, `occurrence` its count within the file."""

    file: str
    line: int
    column: int
    operator: str
    occurrence: int


class PlaceError(Exception):
    """A recorded change that the file at hand does not have."""


# ---- what cannot matter ---------------------------------------------------------------------------


def _keyword_of(node: Any) -> str:
    return node.children[0].value if node.type == "argument" and node.children[0].type == "name" else ""


def _called(node: Any) -> str:
    """The name that a call's arguments stand behind: `Tiles` in `Tiles(simd=...)`."""
    if node.type != "trailer" or node.children[0].value != "(":
        return ""
    leaf = node.get_previous_leaf()
    return leaf.value if leaf is not None else ""


def _is_annotation(child: Any, node: Any) -> bool:
    if node.type == "annassign":
        return child is node.children[1]
    if node.type == "tfpdef":
        return child is not node.children[0]
    return node.type == "funcdef" and child is node.annotation


SKIPPED: dict[str, Callable[[Any, Any], bool]] = {
    "annotations of types": _is_annotation,
    "blocks for type checkers": lambda child, node: (
        node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING"
    ),
    "__all__": lambda child, node: (
        node.type == "expr_stmt" and node.children[0].get_code().strip() == "__all__"
    ),
    "decorators that only remember or declare": lambda child, node: (
        node.type == "decorator"
        and node.get_code().strip().lstrip("@").partition("(")[0].split(".")[-1]
        in ("cache", "lru_cache", "override", "dataclass")
    ),
    "sizes of tiles, which change speed alone": lambda child, node: _called(node) == "Tiles",
    "inputs of tests and benchmarks": lambda child, node: (
        "sample" in _called(node).lower()
        or _called(node) == "Benchmark"
        or _keyword_of(node) in ("samples", "benchmarks", "tolerance", "low", "high")
        or (node.type == "funcdef" and "Sample(" in node.get_code())
    ),
    "strict= of zip, which is an assertion": lambda child, node: _keyword_of(node) == "strict",
}
"""Why a position is no place, each with a question about a node and the child through which it is reached.
Docstrings have no positions: no operator of cosmic-ray changes a string."""


def reason_to_skip(node: Any) -> str | None:
    """Why a change at this node cannot matter, or None."""
    child, parent = node, node
    while parent is not None:
        for reason, applies in SKIPPED.items():
            if applies(child, parent):
                return reason
        child, parent = parent, parent.parent
    return None


# ---- places ---------------------------------------------------------------------------------------


@cache
def _operators() -> tuple[tuple[str, Any], ...]:
    names = (name for name in operator_names() if not name.endswith(UNUSED_OPERATORS))
    return tuple((name, get_operator(name)()) for name in names)


def places(source: str, file: str, skipped: Counter[str] | None = None) -> Iterator[Place]:
    """Every place of one file, in the order of its text. Positions left out are counted in `skipped`."""
    counts: Counter[str] = Counter()
    for node in ast_nodes(get_ast(source)):
        if node.type not in NODES or (node.type == "operator" and node.value in PUNCTUATION):
            continue
        reason: str | None = ""
        for name, operator in _operators():
            for (line, column), _ in operator.mutation_positions(node):
                occurrence = counts[name]
                counts[name] += 1
                if reason == "":
                    reason = UNCHANGED_FILES.get(file) or reason_to_skip(node)
                if reason is None:
                    yield Place(file, line, column, name, occurrence)
                elif skipped is not None:
                    skipped[reason] += 1


def sources(root: Path, rooms: Iterable[str] = ROOMS) -> dict[str, str]:
    """The text of every Python file of the rooms, by its path from the root."""
    paths = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}


def draw(found: Iterable[Place], seed: int, count: int) -> list[Place]:
    """`count` places on lines of their own, in an order drawn by the seed too, so that a part of a run is a
    sample of the same kind."""
    lines: dict[tuple[str, int], list[Place]] = {}
    for place in found:
        lines.setdefault((place.file, place.line), []).append(place)
    chosen = random.Random(seed)
    drawn = []
    for line in chosen.sample(sorted(lines), min(count, len(lines))):
        column = chosen.choice(sorted({place.column for place in lines[line]}))
        drawn.append(chosen.choice(sorted(place for place in lines[line] if place.column == column)))
    return drawn


# ---- changes --------------------------------------------------------------------------------------


def mutated(source: str, operator: str, occurrence: int) -> str | None:
    """The text with one change, or None where the file has no such occurrence."""
    return mutate_code(source, get_operator(operator)(), occurrence)


def change(source: str, other: str) -> str:
    """What differs, as one line: the lines gone, an arrow, the lines instead of them."""
    lines = [line for line in difflib.ndiff(source.splitlines(), other.splitlines()) if line[0] in "+-"]
    before, after = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return f"{' '.join(before)} -> {' '.join(after).strip() or '(nothing)'}"


def apply(source: str, operator: str, occurrence: int, expected: str) -> str:
    """The text with the recorded change `expected`. Where the file was edited since, the change is looked for
    among the operator's other occurrences, the nearest first.

    Raises PlaceError where no occurrence makes that change: the line is gone, or reads otherwise.
    """
    for number in sorted(range(occurrence + REACH), key=lambda number: abs(number - occurrence)):
        text = mutated(source, operator, number)
        if text is not None and change(source, text) == expected:
            return text
    raise PlaceError(f"no occurrence of {operator} makes the change {expected!r}; draw anew, or drop the row")

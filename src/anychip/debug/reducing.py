"""Shrinks a kernel's source to the smallest that still shows a fault.

Flows in: the text of a Python file, the kernel's name, and a question that is asked of each smaller text:
does it still show the fault? Flows out: a text of which no single part can be left out. Statements go in
groups first (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), then
conditions and loops become their bodies, and expressions their operands. Comments and formatting are lost."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import AnychipError

Question = Callable[[str], bool]

MOST_QUESTIONS = 2000


class NothingToReduce(AnychipError):
    """The text as it is does not show the fault, or has no such kernel."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The smallest text that was found, how many questions it took, and whether they ran out before the
    end."""

    text: str
    questions: int
    unfinished: bool


class _OutOfQuestions(Exception):
    pass


class _Reducer:
    """Keeps the best tree and asks about smaller ones; no text is asked about twice."""

    def __init__(self, tree: ast.Module, kernel: str, shows: Question, most: int) -> None:
        self.tree, self._kernel, self._shows, self._most = tree, kernel, shows, most
        self.questions = 0
        self._asked: set[str] = {ast.unparse(tree)}

    def try_(self, change: Callable[[ast.Module], bool]) -> bool:
        """Change a copy; keep it if it is another text that still shows the fault."""
        smaller = copy.deepcopy(self.tree)
        if not change(smaller):
            return False
        try:
            text = ast.unparse(ast.fix_missing_locations(smaller))
            smaller = ast.parse(text)
        except (ValueError, SyntaxError):
            return False
        if text in self._asked or not any(_is_kernel(node, self._kernel) for node in smaller.body):
            return False
        self._asked.add(text)
        if self.questions >= self._most:
            raise _OutOfQuestions
        self.questions += 1
        if not self._shows(text):
            return False
        self.tree = smaller
        return True

    def statements(self) -> bool:
        """Leave out statements of every list, in halves, quarters and so on."""
        changed = False
        number = 0
        while number < len(_lists(self.tree)):
            size = len(_lists(self.tree)[number])
            chunk = size
            while chunk >= 1:
                first = 0
                while number < len(_lists(self.tree)) and first < len(_lists(self.tree)[number]):
                    if self.try_(lambda tree, a=first, c=chunk, n=number: _cut(_lists(tree)[n], a, a + c)):
                        changed = True
                    else:
                        first += chunk
                chunk //= 2
            number += 1
        return changed

    def nodes(self, changes: Callable[[ast.AST], Iterator[Callable[[ast.Module, int], bool]]]) -> bool:
        """Try each change of each node, from the first on."""
        changed, number = False, 0
        while number < len(_nodes(self.tree)):
            done = any(
                self.try_(lambda tree, k=number, change=change: change(tree, k))
                for change in changes(_nodes(self.tree)[number])
            )
            changed |= done
            number += not done
        return changed


def reduce(text: str, kernel: str, shows: Question, most: int = MOST_QUESTIONS) -> Reduced:
    """The smallest text with the fault. `shows` gets candidates, which need not even compile. Raises
    NothingToReduce."""
    tree = ast.parse(text)
    plain = ast.unparse(tree)
    if not any(_is_kernel(node, kernel) for node in tree.body):
        raise NothingToReduce(f"the file has no function {kernel!r} at its top level")
    if not shows(plain):
        raise NothingToReduce("the file as it is does not show the fault, once comments are left out")
    reducer = _Reducer(tree, kernel, shows, most)
    unfinished = False
    try:
        while reducer.statements() | reducer.nodes(_unwrapped) | reducer.nodes(_operands):
            pass
    except _OutOfQuestions:
        unfinished = True
    return Reduced(ast.unparse(reducer.tree) + "\n", reducer.questions, unfinished)


def _is_kernel(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _lists(tree: ast.Module) -> list[list[ast.stmt]]:
    """Every list of statements, the outermost first."""
    found = []
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list) and statements:
                found.append(statements)
    return found


def _cut(statements: list[ast.stmt], first: int, last: int) -> bool:
    """Leave statements out; a list that would be empty holds `pass`."""
    if all(isinstance(statement, ast.Pass) for statement in statements[first:last]):
        return False
    del statements[first:last]
    if not statements:
        statements.append(ast.Pass())
    return True


def _nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def _unwrapped(node: ast.AST) -> Iterator[Callable[[ast.Module, int], bool]]:
    """Put the body in the place of a loop, a condition or a `with`."""
    if not isinstance(node, ast.For | ast.While | ast.If | ast.With):
        return

    def change(tree: ast.Module, number: int) -> bool:
        inner = _nodes(tree)[number]
        for statements in _lists(tree):
            if inner in statements:
                place = statements.index(inner)  # type: ignore[arg-type]
                statements[place : place + 1] = inner.body  # type: ignore[attr-defined]
                return True
        return False

    yield change


def _operands(node: ast.AST) -> Iterator[Callable[[ast.Module, int], bool]]:
    """Put an operand in the place of an expression: a side of an operation, an argument of a call; leave
    out keywords and parameters."""
    if not isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.Compare | ast.Call | ast.IfExp):
        return
    for place in range(len(list(_inner(node)))):

        def change(tree: ast.Module, number: int, place: int = place) -> bool:
            outer = _nodes(tree)[number]
            return _replace(tree, outer, list(_inner(outer))[place])

        yield change
    if isinstance(node, ast.Call):
        for place in range(len(node.keywords)):

            def leave_out(tree: ast.Module, number: int, place: int = place) -> bool:
                call = _nodes(tree)[number]
                assert isinstance(call, ast.Call)
                del call.keywords[place]
                return True

            yield leave_out


def _inner(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
            yield child


def _replace(tree: ast.Module, outer: ast.AST, inner: ast.expr) -> bool:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is outer:
                setattr(parent, name, inner)
                return True
            if isinstance(value, list) and any(item is outer for item in value):
                value[[item is outer for item in value].index(True)] = inner
                return True
    return False

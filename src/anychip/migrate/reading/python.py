"""What the rules recognise in Python. Flows in: a source. Flows out: matches in the order of the file, with
the syntax tree and the meaning of its names, which fixes are made from."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field, replace

from .. import device_class
from ..rule import Role
from ..rules.files import UNREADABLE
from .match import Match
from .names import Names
from .source import Position, SourceText
from .tables import TABLES

MATCHERS = frozenset({"startswith", "endswith", "match", "fullmatch", "search", "find", "index"})
"""Methods and functions that compare with a string."""
ATTRIBUTE_FUNCTIONS = frozenset({"getattr", "hasattr", "setattr", "delattr"})
MODULE_FUNCTIONS = frozenset({"importlib.import_module", "importlib.util.find_spec", "__import__"})
LONGEST = 60
"""Characters of a thing that a message shows."""


@dataclass(slots=True)
class PythonFile:
    """A Python file that was read. `tree` and `names` are None where it could not be parsed, or
    holds nothing that a rule recognises."""

    source: SourceText
    matches: list[Match]
    tree: ast.Module | None = None
    names: Names | None = None
    own_cuda: bool = False
    """Whether a class of the file defines a method `cuda` of its own."""
    helper: ast.ClassDef | None = None
    """The helper of earlier fixes. What it says of CUDA, and is told, is no finding."""


def read(source: SourceText, own_packages: frozenset[str] = frozenset()) -> PythonFile:
    """A Python file and what the rules recognise in it. `own_packages` are those that the scanned project
    consists of: importing them binds it to nothing new."""
    if not TABLES.may_match(source.text):
        return PythonFile(source, [])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, max((getattr(error, "offset", None) or 1) - 1, 0)
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        return PythonFile(source, [Match(UNREADABLE, (line, column), reason)])
    reader = _Reader(source, tree, own_packages)
    reader.walk()
    matches = sorted(reader.matches, key=lambda match: match.at)
    if not matches:
        return PythonFile(source, [], own_cuda=reader.own_cuda)  # trees of large projects take gigabytes
    its_helper = device_class.find(tree)
    if its_helper is not None:
        matches = [match for match in matches if not _is_of(its_helper, match, reader.names)]
    return PythonFile(source, matches, tree, reader.names, reader.own_cuda, its_helper)


def _is_of(its_helper: ast.ClassDef, match: Match, names: Names) -> bool:
    """Whether a match lies in the helper, or is a device that the helper is told."""
    if match.node is None:
        return False
    for node in names.ancestors(match.node):
        if node is its_helper:
            return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in device_class.OWN
        ):
            if isinstance(node.func.value, ast.Name) and node.func.value.id == its_helper.name:
                return True
    return False


@dataclass(slots=True)
class _Reader:
    source: SourceText
    tree: ast.Module
    own_packages: frozenset[str]
    matches: list[Match] = field(default_factory=list)
    names: Names = field(init=False)
    own_cuda: bool = False

    def __post_init__(self) -> None:
        self.names = Names(self.tree)

    def walk(self) -> None:
        for node in self.names.nodes:
            match node:
                case ast.Attribute() | ast.Name():
                    self._reference(node)
                case ast.Call():
                    self._call(node)
                case ast.Constant(value=str()) | ast.JoinedStr():
                    self._string(node)
                case ast.Import(names=aliases):
                    for alias in aliases:
                        self._module(node, alias.name)
                case ast.ImportFrom():
                    self._import_from(node)
                case ast.Dict(keys=keys, values=values):
                    for key, value in zip(keys, values):
                        if isinstance(key, ast.Constant) and isinstance(key.value, str):
                            self._option(key.value, value, start(self.source, key))
                case ast.ClassDef(body=body):
                    self.own_cuda |= any(isinstance(f, ast.FunctionDef) and f.name == "cuda" for f in body)
                case _:
                    pass

    # ---- names -------------------------------------------------------------------------------------

    def _reference(self, node: ast.Attribute | ast.Name) -> None:
        if isinstance(self.names.parents.get(node), ast.Attribute):
            return  # part of a longer name
        if isinstance(node, ast.Name):
            return  # what an import binds is found at the import
        whole: ast.AST = node
        qualified = self.names.qualified(whole)
        while qualified is None and isinstance(whole, ast.Attribute):
            # an attribute of a result, such as torch.cuda.current_stream().wait_stream
            self._attribute(whole)
            whole = whole.value
            if not isinstance(whole, ast.Attribute):
                return
            qualified = self.names.qualified(whole)
        if qualified is None or not isinstance(whole, ast.Attribute):
            return
        rule = TABLES.by_name(qualified)
        if rule is not None:
            self._add(Match(rule, start(self.source, whole), qualified, whole, qualified))
        elif not qualified.startswith("torch."):
            self._attribute(whole)

    def _attribute(self, node: ast.Attribute) -> None:
        rule = TABLES.attributes.get(node.attr)
        if rule is None or not isinstance(node.ctx, ast.Load):
            return
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            return  # a class's own field
        self._add(Match(rule, self._name_start(node), f".{node.attr}", node))

    def _call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._option(keyword.arg, keyword.value, start(self.source, keyword))
        qualified = self.names.qualified(node.func)
        if qualified is not None:
            rule = TABLES.no_device.get(qualified)
            names = {keyword.arg for keyword in node.keywords}
            if rule is not None and not node.args and not names & {"device", None}:
                self._add(Match(rule, start(self.source, node), f"{qualified}() without a device", node))
            if qualified in MODULE_FUNCTIONS and node.args and isinstance(node.args[0], ast.Constant):
                self._module(node.args[0], str(node.args[0].value))
        if isinstance(node.func, ast.Attribute) and (rule := TABLES.methods.get(node.func.attr)):
            if qualified is None or not qualified.startswith(("torch.", "numba.")):
                self._add(Match(rule, self._name_start(node.func), f".{node.func.attr}()", node))

    def _option(self, name: str, value: ast.expr, at: Position) -> None:
        rule = TABLES.options.get(name)
        is_default = (
            isinstance(value, ast.Constant) and value.value is not True and value.value in (None, 0, 1)
        )
        if rule is not None and not is_default:
            self._add(Match(rule, at, name, value))

    # ---- imports -----------------------------------------------------------------------------------

    def _module(self, node: ast.AST, module: str) -> None:
        rule = TABLES.by_module(module) or TABLES.by_name(module)
        if rule is None or module.partition(".")[0] in self.own_packages or module.startswith("torch."):
            return
        self._add(Match(rule, start(self.source, node), module, node, module))

    def _import_from(self, node: ast.ImportFrom) -> None:
        if node.level or not node.module or node.module.partition(".")[0] in self.own_packages:
            return
        if (rule := TABLES.by_module(node.module)) is not None:
            self._add(Match(rule, start(self.source, node), node.module, node, node.module))
            return
        for alias in node.names:
            qualified = f"{node.module}.{alias.name}"
            if alias.name == "*" or qualified in MODULES:
                continue
            rule = TABLES.by_name(qualified) or TABLES.by_module(qualified)
            if rule is not None:
                self._add(Match(rule, start(self.source, alias), qualified, alias, qualified))

    # ---- strings -----------------------------------------------------------------------------------

    def _string(self, node: ast.Constant | ast.JoinedStr) -> None:
        parent = self.names.parents.get(node)
        if isinstance(parent, ast.Expr | ast.JoinedStr | ast.FormattedValue):
            return  # a docstring, a part of an f-string
        text = node.value if isinstance(node, ast.Constant) else _formatted(node)
        if not isinstance(text, str) or len(text) > 100_000:
            return
        role = self._role(node)
        rule = (
            None if role is None else TABLES.by_string(text, role, isinstance(parent, ast.Call | ast.keyword))
        )
        if rule is not None and role is not None:
            shown = text if len(text) <= LONGEST else text[:LONGEST] + "..."
            self._add(Match(rule, start(self.source, node), f'"{shown}"', node, "", role))

    def _role(self, node: ast.expr) -> Role | None:
        """What a string is for; None where it is the name of an attribute or of what a module exports."""
        child: ast.AST = node
        for parent in self.names.ancestors(node):
            match parent:
                case ast.Compare() | ast.MatchValue():
                    return Role.TEST
                case ast.Tuple() | ast.List() | ast.Set():
                    pass
                case ast.Call(func=ast.Attribute(attr=name), args=[first, *_]) if first is child:
                    if name in MATCHERS:
                        return Role.TEST
                    if self.names.qualified(parent.func) != "torch.device":
                        return Role.VALUE
                case ast.Call(func=ast.Name(id=name)) if name in ATTRIBUTE_FUNCTIONS:
                    return None
                case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
                    return None
                case _:
                    return Role.VALUE
            child = parent
        return Role.VALUE

    # ---- places ------------------------------------------------------------------------------------

    def _name_start(self, node: ast.Attribute) -> Position:
        """Where the last name of a chain of attributes begins."""
        line, column = end(self.source, node)
        return line, column - len(node.attr)

    def _add(self, match: Match) -> None:
        """Keep a match. Before Python 3.12, positions inside f-strings may be wrong: there it is the
        string's."""
        last = match.found.strip('."()').rpartition(".")[2]
        if match.node is not None and match.name and last not in self.source.line(match.at[0])[match.at[1] :]:
            around = [node for node in self.names.ancestors(match.node) if isinstance(node, ast.JoinedStr)]
            if around:
                match = replace(match, at=start(self.source, around[-1]))
        self.matches.append(match)


MODULES = frozenset(
    f"torch.cuda.{name}" for name in ("amp", "memory", "nccl", "nvtx", "profiler", "random")
) | {
    "torch.cuda",
    "torch.backends.cuda",
    "torch.backends.cudnn",
}
"""Modules that are found where something of them is used, not where they are imported."""


def _formatted(node: ast.JoinedStr) -> str:
    """The text of an f-string with `{}` for what it computes."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def start(source: SourceText, node: ast.AST) -> Position:
    """Where a node begins."""
    return node.lineno, source.column(node.lineno, node.col_offset)  # type: ignore[attr-defined]


def end(source: SourceText, node: ast.AST) -> Position:
    """Where a node ends."""
    return node.end_lineno, source.column(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

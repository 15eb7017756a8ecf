"""What names mean in a module, as far as its imports say. Flows in: a syntax tree. Flows out: for a name or a
chain of attributes the qualified name of what it stands for, such as `torch.cuda.amp.autocast`.

A name that is assigned as well as imported counts as the import (`except ImportError: apex = None`); one that
two imports give different meanings has none, and neither has a parameter or a variable.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
UNBOUND = frozenset({"torch"})
"""Names that mean the module of that name where nothing binds them, as below `from settings import *`."""


class Names:
    """The scopes of a module. `parents` has the node around each node, `nodes` every node."""

    def __init__(self, tree: ast.Module):
        self.parents: dict[ast.AST, ast.AST] = {}
        self.nodes: list[ast.AST] = []
        self._bound: dict[ast.AST, dict[str, set[str]]] = {tree: {}}
        self._scopes: dict[ast.AST, ast.AST] = {}
        self._tree = tree
        stack: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
        while stack:
            node, scope = stack.pop()
            self.nodes.append(node)
            self._scopes[node] = scope
            self._bind(node, scope)
            inner = node if isinstance(node, (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)) else scope
            self._bound.setdefault(inner, {})
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                outside = isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not _is_inside(node, child)
                stack.append((child, scope if outside else inner))

    def qualified(self, node: ast.AST) -> str | None:
        """The qualified name of a name or of attributes of one; None where it is not known to be a
        module's."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        base = self._lookup(node)
        return None if base is None else ".".join([base, *reversed(parts)])

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, the nearest first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def module_names(self, qualified: str) -> set[str]:
        """Names of the module's own scope that mean `qualified`."""
        return {name for name, meanings in self._bound[self._tree].items() if meanings == {qualified}}

    def is_bound(self, name: str) -> bool:
        """Whether the module's own scope binds a name."""
        return name in self._bound[self._tree]

    def _lookup(self, name: ast.Name) -> str | None:
        scope = self._scopes[name]
        own = True
        while True:
            meanings = self._bound[scope].get(name.id)
            if meanings is not None and (own or not isinstance(scope, ast.ClassDef)):
                return next(iter(meanings)) if len(meanings) == 1 else None
            if scope is self._tree:
                return name.id if name.id in UNBOUND else None
            own = False
            scope = self._scopes[scope]

    def _bind(self, node: ast.AST, scope: ast.AST) -> None:
        bound = self._bound[scope]
        match node:
            case ast.Import(names=names):
                for alias in names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    bound.setdefault(alias.asname or whole, set()).add(whole)
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    kept = bound.setdefault(alias.asname or alias.name, set())
                    if level == 0 and module:
                        kept.add(f"{module}.{alias.name}")
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.setdefault(name, set())
            case ast.arg(arg=name):
                bound.setdefault(name, set())
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.setdefault(name, set())
            case ast.ExceptHandler(name=str(name)):
                bound.setdefault(name, set())
            case _:
                pass


def _is_inside(definition: ast.AST, child: ast.AST) -> bool:
    """Whether a part of a function or class belongs to its own scope: its body and parameters do, decorators,
    defaults and bases do not (defaults hang below `arguments`, which is good enough)."""
    if isinstance(definition, ast.Lambda):
        return True
    return isinstance(child, ast.arguments) or child in getattr(definition, "body", ())

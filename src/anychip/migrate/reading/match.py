"""What a reader hands on: a rule, and where in a file it found what. Flows in: nothing. Flows out:
records."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..rule import Role, Rule
from .source import Position


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Something that a rule recognised. `found` is what, as it is shown; `node` the expression in Python;
    `name` its qualified name, where it has one; `role` what a string is for."""

    rule: Rule
    at: Position
    found: str
    node: ast.AST | None = None
    name: str = ""
    role: Role = Role.EITHER

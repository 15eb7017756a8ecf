"""Reads MLIR locations into `Location` values.

In: the location aliases of a text (`#loc12 = loc(...)`) and the cursor at a use. Out: the user's file, line
and column, with the call sites outwards. Aliases may be defined after their use, and are
resolved when they are first used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .core import UNKNOWN, Location
from .lexer import Cursor, unquote

_DEEPEST = 128
_NAMED = re.compile(r'loc\(("(?:[^"\\]|\\.)*")\((#\w+)\)\)')
"""A name for what is at another location. Triton names a value anew wherever a loop carries it, so that names
are nested by the hundred in deep loops."""


class LocationTable:
    """The location aliases of one text."""

    def __init__(self, tokens: list[str]):
        self._definitions: dict[str, str] = {}
        for token in tokens:
            if token[0] == "#" and " = " in token:
                alias, definition = token.split(" = ", 1)
                self._definitions[alias] = definition
        self._resolved: dict[str, Location] = {}

    def use(self, token: str, cursor: Cursor, depth: int = 0) -> Location:
        """The location that the token `loc(#loc12)` stands for."""
        location = self._resolved.get(token)
        if location is None:
            name, alias = self._unnamed(token[4:-1], cursor)
            location = self._alias(alias, cursor, depth)
            if name:
                location = replace(location, name=name)
            self._resolved[token] = location
        return location

    def _unnamed(self, alias: str, cursor: Cursor) -> tuple[str, str]:
        """The outermost name of an alias, empty where it has none, and the alias within all names."""
        name = ""
        for _ in range(len(self._definitions) + 1):
            named = _NAMED.fullmatch(self._definitions.get(alias, ""))
            if named is None:
                return name, alias
            name = name or unquote(named[1])
            alias = named[2]
        return cursor.fail(f"location {alias} is nested more than {_DEEPEST} deep, or contains itself")

    def _alias(self, alias: str, cursor: Cursor, depth: int) -> Location:
        definition = self._definitions.get(alias)
        if definition is None:
            cursor.fail(f"location {alias} is not defined")
        if depth > _DEEPEST:
            cursor.fail(f"location {alias} is nested more than {_DEEPEST} deep, or contains itself")
        inner = Cursor(definition)
        token = inner.tokens[0]
        if token.startswith("loc("):
            return self.use(token, cursor, depth + 1)
        if token != "loc" or inner.tokens[1] != "(":
            cursor.fail(f"location {alias} is not of the form loc(...)")
        inner.position = 2
        location = self.read(inner, depth + 1)
        inner.expect(")")
        return location

    def read(self, cursor: Cursor, depth: int = 0) -> Location:
        """The location at the cursor, inside the parentheses of `loc(...)`."""
        if depth > _DEEPEST:
            cursor.fail(f"a location is nested more than {_DEEPEST} deep")
        token = cursor.next()
        first = token[0]
        if first == "#":
            return self.use(f"loc({token})", cursor, depth + 1)
        if first == '"':
            return self._file_or_name(unquote(token), cursor, depth)
        if token == "unknown":
            return UNKNOWN
        if token == "callsite":
            cursor.expect("(")
            callee = self.read(cursor, depth + 1)
            cursor.expect("at")
            caller = self.read(cursor, depth + 1)
            cursor.expect(")")
            return called_from(callee, caller)
        if token == "fused":
            return self._fused(cursor, depth)
        if token.startswith("loc("):
            return self.use(token, cursor, depth + 1)
        return cursor.fail(f"{token!r} is no kind of location", cursor.position - 1)

    def _file_or_name(self, text: str, cursor: Cursor, depth: int) -> Location:
        if cursor.accept(":"):
            line = cursor.integer()
            cursor.expect(":")
            column = cursor.integer()
            if cursor.accept("to"):  # a range of the source: its start is what we keep
                if cursor.tokens[cursor.position] != ":":
                    cursor.integer()
                cursor.expect(":")
                cursor.integer()
            return Location(text, line, column)
        if cursor.accept("("):
            inner = self.read(cursor, depth + 1)
            cursor.expect(")")
            return replace(inner, name=text)
        return Location(name=text)

    def _fused(self, cursor: Cursor, depth: int) -> Location:
        if cursor.accept("<"):
            while not cursor.accept(">"):
                cursor.next()
        cursor.expect("[")
        parts: list[Location] = []
        while not cursor.accept("]"):
            parts.append(self.read(cursor, depth + 1))
            cursor.accept(",")
        return next((part for part in parts if part.line), UNKNOWN)


def called_from(callee: Location, caller: Location) -> Location:
    """`callee` inlined at `caller`. An unknown callee is taken to be at the call itself."""
    if not callee.line:
        return caller
    if not caller.line:
        return callee
    site = replace(caller, callers=()) if caller.callers else caller
    changes: dict[str, Any] = {"callers": (*callee.callers, site, *caller.callers)}
    return replace(callee, **changes)

"""Splits TTIR text into tokens, and walks over them.

In: the text of a module. Out: a list of token strings and a `Cursor` over it. One compiled regular
expression does the splitting; tokens are coarse on purpose (a whole `tensor<...>` type, a whole
location definition) because this runs whenever a kernel is compiled for the first time.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ..errors import ParseError
from .core import Location

# Angle brackets nested up to four levels, on one line: `<64x!tt.ptr<f16>>`.
_NESTED = r"<[^<>\n]*>"
for _ in range(3):
    _NESTED = rf"<[^<>\n]*(?:{_NESTED}[^<>\n]*)*>"

TOKEN = re.compile(
    rf"""
      \#[A-Za-z_]\w*\s=\s[^\n]*                         # definition of an alias, whole
    | loc\(\#loc[0-9]*\)                                # use of a location alias, whole
    | [%@^][\w$.-]+(?:\#[0-9]+)?                        # %value, %value#2, @symbol, ^block
    | @"(?:[^"\\\n]|\\.)*"                              # @"quoted symbol"
    | (?:tensor|![a-z][\w.]*){_NESTED}                  # type with parameters, whole
    | [A-Za-z_!\#][\w.$]*                               # keyword, operation, plain type, #alias
    | [(),:={{}}]
    | ->
    | "(?:[^"\\\n]|\\.)*"
    | -?(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]*(?:[eE][+-]?[0-9]+)?)?)
    | //[^\n]*
    | \S
    """,
    re.VERBOSE,
)

END = "\0"
"""The token after the last one; it is repeated so that a short look ahead stays in range."""

_LOOKAHEAD = 4


def tokenise(text: str) -> list[str]:
    """All tokens of `text` without comments, followed by `END`."""
    tokens = TOKEN.findall(text)
    if "//" in text:
        tokens = [token for token in tokens if not token.startswith("//")]
    tokens += [END] * _LOOKAHEAD
    return tokens


def position_of(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of token number `index` of `tokenise(text)`."""
    offset = len(text)
    for match in TOKEN.finditer(text):
        if match.group().startswith("//"):
            continue
        if index == 0:
            offset = match.start()
            break
        index -= 1
    line = text.count("\n", 0, offset) + 1
    return line, offset - text.rfind("\n", 0, offset)


_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def unquote(token: str) -> str:
    """The text of a string token: MLIR escapes bytes as two hexadecimal digits."""
    inner = token[1:-1]
    if "\\" not in inner:
        return inner
    raw = bytearray()
    end = 0
    for match in _ESCAPE.finditer(inner):
        raw += inner[end : match.start()].encode(errors="replace")
        code = match.group(1)
        raw += (
            bytes.fromhex(code) if len(code) == 2 else _NAMED_ESCAPES.get(code, code).encode(errors="replace")
        )
        end = match.end()
    raw += inner[end:].encode(errors="replace")
    return raw.decode(errors="replace")


class Cursor:
    """A position in the tokens of one text, and the error that names it."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = tokenise(text)
        self.position = 0

    def fail(self, message: str, index: int | None = None) -> NoReturn:
        """Raise a `ParseError` at token `index` (by default the current one)."""
        line, column = position_of(self.text, self.position if index is None else index)
        message = message.replace(repr(END), "the end of the text")
        shown = message if len(message) <= 160 else f"{message[:160]}..."
        raise ParseError(
            f"column {column}: {shown}",
            Location("<ttir>", line, column),
            "the text is not TTIR that this version of Anychip reads; please report the kernel",
        )

    def next(self) -> str:
        """The current token; moves past it."""
        token = self.tokens[self.position]
        if token == END:
            self.fail(f"unexpected {END!r}")
        self.position += 1
        return token

    def accept(self, token: str) -> bool:
        """Move past `token` if it is the current one."""
        if self.tokens[self.position] == token:
            self.position += 1
            return True
        return False

    def expect(self, token: str) -> None:
        """Pass the token. Raises ParseError where another one follows."""
        found = self.tokens[self.position]
        if found != token:
            self.fail(f"expected {token!r}, found {found!r}")
        self.position += 1

    def expect_start(self, prefix: str, what: str) -> str:
        """The current token, which must start with `prefix`; moves past it."""
        token = self.tokens[self.position]
        if not token.startswith(prefix):
            self.fail(f"expected {what}, found {token!r}")
        self.position += 1
        return token

    def integer(self) -> int:
        """The current token as a non-negative decimal number; moves past it."""
        token = self.tokens[self.position]
        if not (token.isascii() and token.isdigit() and len(token) < 20):
            self.fail(f"expected a number, found {token!r}")
        self.position += 1
        return int(token)

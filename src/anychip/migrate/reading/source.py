"""A file as text whose every byte can be put back. Flows in: bytes. Flows out: lines with their own ends (LF,
CR LF or CR), and the bytes after edits, in which everything outside the edits is what it was.

Positions are (line, column): lines from 1, as Python's parser counts them; columns from 0, in characters.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

Position = tuple[int, int]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
"""A line of Python. Form feeds and other separators of Unicode are inside lines."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters from `start` up to `end` replaced by `text`. Edits at one place are made in their order."""

    start: Position
    end: Position
    text: str


class SourceText:
    """A file's text. `file` is the name that findings give it.

    Raises UnicodeDecodeError or SyntaxError (of the coding cookie) for bytes that are no text."""

    def __init__(self, file: str, data: bytes, is_python: bool = True):
        self.file = file
        self.data = data
        self.encoding = _encoding(data) if is_python else "utf-8"
        self._mark = codecs.BOM_UTF8 if is_python and data.startswith(codecs.BOM_UTF8) else b""
        text = data[len(self._mark) :].decode(self.encoding, "strict" if is_python else "replace")
        self.lines: list[str] = _LINE.findall(text)

    @cached_property
    def text(self) -> str:
        """The text with LF line ends, for Python's parser."""
        return "".join(self.line(number) + "\n" for number in range(1, len(self.lines) + 1))

    def line(self, number: int) -> str:
        """A line without its end; empty beyond the file."""
        return self.lines[number - 1].rstrip("\r\n") if 0 < number <= len(self.lines) else ""

    def column(self, line: int, utf8_bytes: int) -> int:
        """A column of Python's parser, which counts bytes of UTF-8, in characters."""
        text = self.line(line)
        return utf8_bytes if text.isascii() else len(text.encode()[:utf8_bytes].decode(errors="ignore"))

    def between(self, start: Position, end: Position) -> str:
        """The characters from `start` up to `end`, line ends as LF."""
        if start[0] == end[0]:
            return self.line(start[0])[start[1] : end[1]]
        middle = [self.line(number) for number in range(start[0] + 1, end[0])]
        return "\n".join([self.line(start[0])[start[1] :], *middle, self.line(end[0])[: end[1]]])

    def line_end(self, number: int) -> str:
        """How a line ends; where it is the last one, without an end, how the first line does."""
        for candidate in (number, 1):
            if 0 < candidate <= len(self.lines):
                text = self.lines[candidate - 1]
                if end := text[len(text.rstrip("\r\n")) :]:
                    return end
        return "\n"

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """The file's bytes after the edits, which must not overlap."""
        lines = list(self.lines) or [""]
        ordered = sorted(enumerate(edits), key=lambda item: (item[1].start, item[1].end, item[0]))
        for _, edit in reversed(ordered):
            (first, left), (last, right) = edit.start, edit.end
            while last > len(lines):
                lines.append("")
            lines[first - 1 : last] = [lines[first - 1][:left] + edit.text + lines[last - 1][right:]] + [
                ""
            ] * (last - first)
        return self._mark + "".join(lines).encode(self.encoding)

    def comments(self) -> dict[int, str]:
        """Comments by line. Empty for text that Python cannot split into tokens."""
        found = {}
        try:
            for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
                if token.type == tokenize.COMMENT:
                    found[token.start[0]] = token.string
        except (tokenize.TokenError, SyntaxError):
            pass
        return found


def _encoding(data: bytes) -> str:
    """The encoding by the mark at the start or the coding cookie."""
    name, _ = tokenize.detect_encoding(io.BytesIO(data.replace(b"\r", b"\n")).readline)
    return "utf-8" if name == "utf-8-sig" else name

"""Findings as lines of text, and fixes as unified differences. Flows in: findings, files before and after.
Flows out: text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from ..finding import Finding
from ..reading.source import SourceText

_MARKS = {"safe": " [--fix]", "unsafe": " [--unsafe-fixes]", "": ""}


def lines(findings: Iterable[Finding], advice: bool = True) -> Iterator[str]:
    """`file:line:column: code message`, and what to do on a line below."""
    for each in findings:
        mark = _MARKS[each.applies]
        yield f"{each.file}:{each.line}:{each.column}: {each.code} {each.message}{mark}"
        if advice:
            yield f"    {each.fix}"


def difference(source: SourceText, after: bytes) -> str:
    """What a fix changes in a file, as a unified difference with the file's own line ends; "" for nothing."""
    before_lines = source.lines
    after_lines = SourceText(source.file, after).lines
    found = difflib.unified_diff(before_lines, after_lines, f"a/{source.file}", f"b/{source.file}")
    return "".join(
        line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n" for line in found
    )

"""Tables in Markdown, as a parser of Markdown reads them."""

from __future__ import annotations

import re

from anychip.markdown import numbers, table


def cells(line: str) -> list[str]:
    """What a line of a table holds: bars that are not escaped part cells."""
    parts = re.split(r"(?<!\\)\|", line)
    assert parts[0] == parts[-1] == ""
    return [part.strip().replace("\\|", "|") for part in parts[1:-1]]


def test_a_table_is_read_back_as_it_was() -> None:
    rows = [["a|b", 1, ""], ["`x`", 2.5, "c"]]
    lines = table(["what", ("number", "right"), "remark"], rows).split("\n")
    assert cells(lines[0]) == ["what", "number", "remark"]
    assert cells(lines[1]) == ["---", "---:", "---"]
    assert [cells(line) for line in lines[2:]] == [[str(cell) for cell in row] for row in rows]


def test_a_table_without_rows_has_its_head() -> None:
    assert table(["a", "b"], []) == "| a | b |\n|---|---|"


def test_figures_stand_at_the_right() -> None:
    assert numbers(["case", "ms", "ratio"]) == ["case", ("ms", "right"), ("ratio", "right")]

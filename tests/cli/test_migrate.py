"""`anychip migrate`: findings, formats, fixes and refusals, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.chips import UnknownChip
from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.cli.migrate.chips import target_of

TEXT = 'import torch\n\ndevice = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a program."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TEXT)
    (tmp_path / "other.py").write_text("x = 1\n")
    return tmp_path


def migrate(*arguments: str) -> Any:
    """The verb with some arguments, in this process."""
    return CliRunner().invoke(application, ["migrate", *arguments], catch_exceptions=False)


def test_findings_are_listed_and_the_status_says_so(folder: Path) -> None:
    result = migrate(".")
    assert result.exit_code == 1
    assert 'train.py:3:23: AC102 "cuda" names a CUDA device [--fix]' in result.stdout
    assert migrate("other.py").exit_code == 0


def test_json(folder: Path) -> None:
    data = json.loads(migrate(".", "--json").stdout)
    assert [each["code"] for each in data["findings"]] == ["AC102", "AC301"]
    assert data["portable"] == 0.5


def test_a_chip_that_takes_the_name_has_none(folder: Path) -> None:
    assert migrate(".", "--chip", "nvidia-h100").exit_code == 0
    assert migrate(".", "--chip", "starfive-jh7110").exit_code == 1
    with pytest.raises(UnknownChip):
        migrate(".", "--chip", "no-such-chip")


def test_devices_of_chips() -> None:
    known = {"nvidia-h100": "cuda", "starfive-jh7110": "cpu"}
    for chip, device in known.items():
        target = target_of(chip)
        assert target is not None
        assert (target.name, target.device, target.is_nvidia) == (chip, device, chip.startswith("nvidia"))
    assert target_of("") is None


def test_differences_change_nothing_and_fixes_do(folder: Path) -> None:
    shown = migrate(".", "--diff").stdout
    assert "+class Accelerator:" in shown
    assert (folder / "train.py").read_text() == TEXT
    assert migrate(".", "--fix").exit_code == 0
    assert "class Accelerator:" in (folder / "train.py").read_text()
    assert (folder / "other.py").read_text() == "x = 1\n"


def test_a_file_that_is_left_is_named(folder: Path) -> None:
    (folder / "train.py").write_text(TEXT + "torch.cuda.set_device(0)\n")
    result = migrate("train.py", "--fix")
    assert result.exit_code == 1
    assert "left as it is: line 4: torch.cuda.set_device" in " ".join(result.stderr.split())
    assert migrate("train.py", "--unsafe-fixes").exit_code == 0


def test_a_baseline_keeps_the_status_at_0_until_there_is_more(folder: Path) -> None:
    assert migrate(".", "--write-baseline", "known.json").exit_code == 0
    assert migrate(".", "--baseline", "known.json").exit_code == 0
    (folder / "other.py").write_text("x.cuda()\n")
    result = migrate(".", "--baseline", "known.json", "--json")
    assert [each["file"] for each in json.loads(result.stdout)["findings"]] == ["other.py"]


def test_sarif_goes_to_a_file_or_out(folder: Path) -> None:
    migrate(".", "--sarif", "found.sarif")
    written = json.loads((folder / "found.sarif").read_text())
    assert written == json.loads(migrate(".", "--sarif", "-").stdout)
    assert len(written["runs"][0]["results"]) == 2


def test_selected_codes(folder: Path) -> None:
    data = json.loads(migrate(".", "--select", "ac3,AC8", "--json").stdout)
    assert [each["code"] for each in data["findings"]] == ["AC301"]
    with pytest.raises(CommandError, match="no code begins so"):
        migrate(".", "--select", "AC999")
    with pytest.raises(CommandError, match="Choose one"):
        migrate(".", "--json", "--diff")


def test_a_program_that_runs_shows_what_reading_missed(folder: Path) -> None:
    pytest.importorskip("torch")
    (folder / "run.py").write_text(
        "import sys\nimport torch\n\ngetattr(sys.modules['torch'].cuda, sys.argv[1])()\n"
        "torch.cuda.is_available()\nraise SystemExit(3)\n"
    )
    data = json.loads(migrate("run.py", "--run", "run.py device_count", "--json").stdout)
    (use,) = data["uses"]
    assert (Path(use["file"]).name, use["line"], use["what"]) == ("run.py", 4, "torch.cuda.device_count")
    assert "reading did not find it" in migrate("run.py", "--run", "run.py device_count").stdout
    with pytest.raises(CommandError, match="no such script"):
        migrate(".", "--run", "missing.py")

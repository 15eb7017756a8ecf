"""`anychip judge`: exit statuses, records, descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("cryptography", reason="records are signed by the package cryptography")

from anychip.author import record
from anychip.cli.application import application

HONEST = Path(__file__).parents[1] / "author" / "kernels" / "honest.py"
QUICK = ("--scale", "0.02", "--shapes", "1", "--rounds", "6", "--no-roofs")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(application, ["judge", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANYCHIP_JUDGE_KEY", str(tmp_path / "key"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a candidate and its task are needed"),
        (("a.py:f",), "a candidate and its task are needed"),
        (("a.py", "--task", "softmax"), "write FILE.py:function"),
        (("a.py:f", "--task", "softmax"), "there is no file a.py"),
        (("a.py:f", "--task", "softmax", "--dtype", "float31"), "there is no element type 'float31'"),
        (("a.py:f", "--task", "softmax", "--clock", "moon"), "--clock moon"),
        (("--verify", "nowhere.jsonl"), "has no record"),
        (("--task", "sofmax", "--explain"), "there is no task 'sofmax'"),
        (("--set", "nowhere.txt"), "cannot be read"),
    ],
)
def test_wrong_use_has_status_two(arguments: tuple[str, ...], message: str) -> None:
    status, _, text = run(*arguments, "--no-roofs")
    assert status == 2
    assert message in text


def test_a_set_goes_on_and_its_records_hold(tmp_path: Path) -> None:
    """An accepted candidate, a refused one, one that there is not; then again, with nothing to do but the
    last."""
    candidates, kept = tmp_path / "set.txt", tmp_path / "records.jsonl"
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import torch\n\n\ndef softmax(x, dim):\n    return torch.empty(x.shape)\n")
    candidates.write_text(f"{HONEST}:softmax softmax\nwrong.py:softmax softmax\nnowhere.py:f softmax\n")
    status, text, _ = run("--set", str(candidates), "--record", str(kept), *QUICK)
    assert status == 2
    assert "3 candidates: 1 accepted" in text
    assert "no kernel was launched" in text
    assert "nowhere.py" in text
    before = kept.read_text()
    assert len(before.splitlines()) == 2
    status, again, _ = run("--set", str(candidates), "--record", str(kept), "--explain", *QUICK)
    assert status == 2
    assert kept.read_text() == before
    accepted, refused, unjudged = json.loads(again)
    assert accepted["verdict"] == "accepted"
    assert accepted["times"]["lost"]
    assert refused["failed"]["name"] == "computed by kernels"
    assert refused["failed"]["means"]
    assert refused["failed"]["inputs"].startswith("(float32[")
    assert unjudged["verdict"] == "not judged"
    trusted = record.public_text(record.load_key(tmp_path / "key"))
    status, text, _ = run("--verify", str(kept), "--key", trusted)
    assert status == 0
    assert "2 records hold" in text
    status, text, _ = run("--verify", str(kept), "--json")
    assert status == 0
    assert json.loads(text)
    kept.write_text(before.replace('"refused"', '"accepted"'))
    status, _, text = run("--verify", str(kept))
    assert status == 1
    assert "SHA-256" in text


def test_a_task_is_described() -> None:
    status, text, _ = run("--task", "softmax", "--explain")
    found = json.loads(text)
    assert status == 0
    assert found["any_strides"]
    assert all(call["arguments"].startswith("(float32[") for call in found["calls"])
    assert found["calls"][0]["results"].startswith("(float32[")

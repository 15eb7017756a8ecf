"""`anychip test` and the filters of `anychip ops`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import INTERRUPTED, CommandError
from anychip.evidence import processes
from anychip.evidence.outcome import Proof

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_an_operators_proof_is_printed_and_written_as_data() -> None:
    found = json.loads(run("test", "neg", "--dtype", "float64", "--samples", "1", "--json"))
    assert {proof["subject"] for proof in found} == {"record:neg", "neg"}
    assert {proof["verdict"] for proof in found} == {"passed"}
    text = run("test", "neg", "--dtype", "int32", "--samples", "1")
    assert "passed" in text
    assert "0 failed" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "there is no operator 'nothing'"),
        ((), "name an operator, or use --all"),
        (("add", "--all"), "--all takes no names"),
        (("add", "--dtype", "float31"), "there is no element type 'float31'"),
        (("add", "--record"), "--record and --resume are for the whole library"),
    ],
)
def test_what_cannot_be_proven_is_an_error(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        CliRunner().invoke(application, ["test", *arguments], catch_exceptions=False)


def test_ctrl_c_shows_what_was_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(wanted: Sequence[processes.Task], **options: Any) -> Iterator[Proof]:
        yield Proof(*wanted[0], verdicts={"sample": Counter(passed=3)})
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "run", interrupted)
    result = CliRunner().invoke(application, ["test", "neg", "--dtype", "float64", "--samples", "1"])
    assert result.exit_code == INTERRUPTED
    assert "1 proofs: 1 passed; 3 trials passed" in result.stdout
    assert "interrupted after 1 of 2 proofs" in result.stderr


def test_operators_are_filtered() -> None:
    found = json.loads(run("ops", "_softmax_backward", "--json"))
    assert {"log_softmax", "softmax"} <= {row["name"] for row in found}
    assert all("_softmax_backward" in " ".join(row["overloads"]) for row in found)
    booleans = json.loads(run("ops", "--dtype", "bool", "--domain", "elementwise", "--json"))
    assert booleans
    assert all("bool" in row["dtypes"] for row in booleans)


def test_the_page_of_operators_is_written(tmp_path: Path) -> None:
    file = tmp_path / "operators.md"
    run("ops", "--page", str(file))
    assert "| softmax | `_softmax`" in file.read_text(encoding="utf-8")

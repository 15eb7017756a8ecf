"""Uses that only a run shows are noted with their lines, and change nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anychip.migrate import Use, scan, watching

torch = pytest.importorskip("torch")


def lines_of(uses: dict[Use, int]) -> set[tuple[int, str]]:
    """Lines and what they used, in this file."""
    return {(use.line, use.what) for use in uses if use.file == __file__}


def test_uses_are_noted_where_they_are_made(caplog: pytest.LogCaptureFixture) -> None:
    name = "is_" + "available"
    caplog.set_level("INFO", logger="anychip.migrate.watch")
    with watching() as seen:
        here = sys._getframe().f_lineno
        getattr(torch.cuda, name)()
        for _ in range(3):
            torch.cuda.device_count()
        with pytest.raises((AssertionError, RuntimeError)):
            torch.ones(2).cuda()
        with pytest.raises((AssertionError, RuntimeError)):
            torch.ones(2, device="".join(["cu", "da:0"]))
        torch.ones(2).to("cpu")
    found = lines_of(seen.uses)
    assert (here + 1, "torch.cuda.is_available") in found
    assert (here + 3, "torch.cuda.device_count") in found
    assert (here + 5, "Tensor.cuda") in found
    assert (here + 7, 'ones(..., "cuda:0")') in found
    assert not [line for line, _ in found if line > here + 7]
    assert seen.uses[Use(__file__, here + 3, "torch.cuda.device_count")] == 3
    assert sum("device_count" in record.message for record in caplog.records) == 1


def test_everything_is_as_before_afterwards() -> None:
    before = torch.cuda.is_available, torch.Tensor.cuda, torch.nn.Module.cuda
    with watching():
        assert torch.cuda.is_available is not before[0]
        assert torch.cuda.is_available() is False
    assert (torch.cuda.is_available, torch.Tensor.cuda, torch.nn.Module.cuda) == before
    assert ("cuda" in vars(torch.Tensor)) == (torch.Tensor.cuda is vars(torch.Tensor).get("cuda"))


def test_known_lines_are_left_out(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\ntorch.cuda.is_available()\ngetattr(torch.cuda, 'device_' + 'count')()\n"
    )
    known = {(str(program), each.line) for each in scan([program]).findings if each.code == "AC301"}
    with watching(known) as seen:
        exec(compile(program.read_text(), str(program), "exec"), {})
    assert {(use.line, use.what) for use in seen.uses if use.file == str(program)} == {
        (3, "torch.cuda.device_count")
    }

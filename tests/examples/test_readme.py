"""The Python of the README runs as it is printed there, and its numbers are those of the records."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_first_ten_lines_say_how_to_install() -> None:
    assert any(line.startswith("pip install ") for line in TEXT.splitlines()[:10])


def test_the_number_of_proofs_is_that_of_the_record() -> None:
    said = re.search(r"([\d,]+) of ([\d,]+) proofs tried all samples", TEXT)
    assert said is not None
    record = json.loads((ROOT / "evidence" / "operators" / "amd-epyc.json").read_text(encoding="utf-8"))
    proofs = record["samples"]
    assert [int(number.replace(",", "")) for number in said.groups()] == [proofs["all"], sum(proofs.values())]


def test_there_is_a_block_for_a_kernel_and_one_for_a_model() -> None:
    assert len(BLOCKS) == 2
    assert "@triton.jit" in BLOCKS[0]
    assert "anychip.using" in BLOCKS[1]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

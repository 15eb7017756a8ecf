"""The operator that CONTRIBUTING.md adds as an example is what it says: in place of the library's own it
passes PyTorch's samples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
ADDED = """
import importlib.util, sys
import torch
from anychip.evidence.proof import prove
from anychip.ops import registry

del registry.operators()["xlogy"], registry.overloads()["xlogy.Tensor"]
spec = importlib.util.spec_from_file_location("anychip.ops.elementwise.xlogy", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
assert registry.operators()["xlogy"].domain == "elementwise"
for subject, dtype in (("xlogy", torch.float32), ("record:xlogy", torch.bfloat16)):
    proof = prove(subject, dtype, 2)
    assert proof.verdict == "passed", proof.failures
assert {"xlogy.Tensor"} <= set(proof.overloads)
print(sum(tally.launches for tally in proof.overloads.values()))
"""


def test_the_example_is_proven_by_pytorchs_samples(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    module = tmp_path / "xlogy.py"
    module.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ADDED, str(module)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0

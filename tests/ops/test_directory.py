"""The list of what the library serves: equal to the registry's, and enough to import one operator alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anychip.ops import directory
from anychip.ops.registry import Operator, Overload, overloads, register
from anychip.ops.schemas import variants

PROGRAM = """
import json, sys
import torch
import anychip
from anychip.ops.launching import launch_counts

x = torch.linspace(-3, 3, 300)
anychip.enable("strict")
before = {name for name in sys.modules if name.startswith("anychip.ops.")}
results = {
    "relu": torch.relu(x).tolist(),
    "complex": [torch.linalg.eigvals(torch.diag(x[:3]) + 0j).real.sort().values.tolist(), x[::150].tolist()],
}
with torch.inference_mode():
    table = torch.nn.functional.embedding_bag(torch.tensor([[0, 1], [2, 2]]), x.view(3, 100), mode="sum")
results["bag"] = table.tolist()
from anychip.ops.indexing import embedding_bag
torch.manual_seed(3)
drawn = torch.rand(1000)
print(json.dumps({
    "before": sorted(before),
    "after": sorted(name for name in sys.modules if name.startswith("anychip.ops.")),
    "results": results,
    "samples are plain": not embedding_bag.INDICES.is_inference(),
    "drawn": [float(drawn.min()), float(drawn.max()), float(drawn.mean())],
    "launched": sum(launch_counts.values()),
}))
"""


def test_the_directory_is_that_of_the_registry() -> None:
    listed, known = directory.directory(), overloads()
    assert set(listed) == set(known)
    for name, (operator, _) in known.items():
        entry = listed[name]
        assert (entry.operator, entry.domain, entry.variants) == (
            operator.name,
            operator.domain,
            variants(name),
        )
        assert all(module.startswith("anychip.ops.") for module in entry.modules)
        assert entry.modules, name
        assert directory.load(name) == known[name]


def test_an_operator_of_elsewhere_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from anychip.ops import registry

    monkeypatch.setattr(registry, "_operators", dict(registry._operators))
    monkeypatch.setattr(registry, "_overloads", dict(registry._overloads))
    made = register(Operator("of_elsewhere", (Overload("deg2rad", torch.deg2rad),), (), domain="elementwise"))
    assert directory.directory()["deg2rad"].operator == "of_elsewhere"
    assert directory.load("deg2rad") == (made, made.overloads[0])


def test_a_new_process_imports_what_it_calls(tmp_path: Path) -> None:
    directory.directory()  # kept from here on
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    for module in ("elementwise.trigonometric", "attention.flash", "random.philox", "linalg.eigen"):
        assert f"anychip.ops.{module}" not in said["before"]
    assert "anychip.ops.random.philox" in said["after"]
    assert "anychip.ops.attention.flash" not in said["after"]
    x = torch.linspace(-3, 3, 300)
    assert said["results"]["relu"] == torch.relu(x).tolist()
    found, expected = said["results"]["complex"]
    torch.testing.assert_close(torch.tensor(found), x[:3])
    assert expected == x[::150].tolist()
    bags = x.view(3, 100)
    torch.testing.assert_close(
        torch.tensor(said["results"]["bag"]), torch.stack([bags[0] + bags[1], 2 * bags[2]])
    )
    assert said["samples are plain"]
    low, high, mean = said["drawn"]
    assert 0 <= low < 0.02
    assert 0.98 < high < 1
    assert abs(mean - 0.5) < 0.05
    assert said["launched"] >= 4

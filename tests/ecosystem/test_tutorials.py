"""Triton's tutorials 01 to 06 on the CPU, with nothing changed but the device string.

The environment variable `ANYCHIP_TRITON_TREE` names the root of an unpacked Triton tree; without it the tests
are skipped. A tutorial checks itself when it is imported; its benchmarks, which would only take time, are not
run, and the attention tutorial's own test function is called.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
import triton

from anychip.runtime import launches

pytestmark = pytest.mark.peers
FORK_ONLY = "set_active_to_cpu"
"""A function of one fork's driver, with which its first tutorial replaces Triton's."""


@pytest.fixture
def tutorials() -> Path:
    tree = os.environ.get("ANYCHIP_TRITON_TREE")
    if not tree:
        pytest.skip("ANYCHIP_TRITON_TREE does not name a Triton tree")
    return Path(tree) / "python" / "tutorials"


def load(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tutorial as a module, run from a copy whose device string is the CPU's."""
    text = path.read_text(encoding="utf-8")
    if FORK_ONLY in text:
        pytest.skip(f"{path.name} is a fork's: it calls {FORK_ONLY}, which stock Triton does not have")
    for package in ("tabulate", "matplotlib", "pandas"):
        if re.search(rf"^import {package}", text, re.MULTILINE):
            pytest.importorskip(package)
    copy = folder / path.name
    copy.write_text(re.sub(r"device=([\"'])cuda\1", r"device=\1cpu\1", text), encoding="utf-8")
    monkeypatch.setattr(triton.testing.Mark, "run", lambda self, *args, **kwargs: None)
    monkeypatch.chdir(folder)
    name = f"tutorial_{path.stem.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = launches.count()
    spec.loader.exec_module(module)
    module.launched = launches.count() - before  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    "name", ["01-vector-add", "02-fused-softmax", "04-low-memory-dropout", "05-layer-norm"]
)
def test_tutorial_checks_itself(
    name: str, tutorials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each asserts that its result is PyTorch's, or prints it; layer norm forward and backward."""
    assert load(tutorials / f"{name}.py", tmp_path, monkeypatch).launched > 0


def test_vector_add(tmp_path: Path, tutorials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(tutorials / "01-vector-add.py", tmp_path, monkeypatch)
    torch.testing.assert_close(module.add(module.x, module.y), module.x + module.y, rtol=0, atol=0)


def test_matrix_multiplication(tutorials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(tutorials / "03-matrix-multiplication.py", tmp_path, monkeypatch)
    assert module.launched > 0
    product = module.matmul(module.a, module.b)
    expected = module.a.double() @ module.b.double()
    torch.testing.assert_close(product.double(), expected, rtol=2e-3, atol=2e-2)


def test_dropout(tutorials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(tutorials / "04-low-memory-dropout.py", tmp_path, monkeypatch)
    x = torch.ones(1000)
    once, again, other = (module.seeded_dropout(x, p=0.5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert set(once.tolist()) == {0.0, 2.0}
    assert 400 < int((once > 0).sum()) < 600


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_attention(causal: bool, tutorials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorial's own test, forward and backward in f16 and forward in fp8."""
    module = load(tutorials / "06-fused-attention.py", tmp_path, monkeypatch)
    before = launches.count()
    module.test_op(1, 2, 256, 64, causal, False, "bwd", "triton-fp16")
    module.test_op(1, 2, 256, 64, causal, False, "fwd", "triton-fp8")
    assert launches.count() > before

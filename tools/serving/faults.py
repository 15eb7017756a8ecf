"""Requests with faults at `anychip serve` in a process of its own: clients that leave, bodies that are none,
a full queue, contexts that are too long, and a server that is killed and started again. Each request must
have exactly one end, an answer must be that of its prompt alone, and in the end no page of the cache is in
use.

    python -m tools.serving.faults [--requests 2000] [--at-once 32] [--record]

The model is a small one of random weights, served with `--deterministic`, so that answers can be compared.
`--record` writes faults.json under evidence/serve. Flows out: counts of ends by kind of request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from anychip.evidence.record import commit

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "evidence" / "serve" / "faults.json"
CONTEXT, RUNNING, WAITING, TOKENS = 128, 8, 8, 10
PROMPTS = [f"{k} " + "abcdefgh"[k % 8] * (k % 23) for k in range(48)]
PATIENCE = 0.5
"""Seconds that a client waits after its request was refused because the queue was full."""
KINDS = ("whole", "stream", "leaves", "leaves a stream", "bad body", "wrong field", "too long")
"""Of requests. All but the first four are refused, if the queue does not refuse them before."""


class MixedUpError(AssertionError):
    """A request had an answer that is not its own, no end, or more than one."""


def write_model(folder: Path) -> None:
    """A Llama of two layers with a token for each byte, as the transformers library saves it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: k for k, word in enumerate(["<s>", "</s>", *letters])}
    base: Any = Tokenizer(models.BPE(words, []))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    base.decoder = decoders.ByteLevel()
    base.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in ("<s>", "</s>")])
    PreTrainedTokenizerFast(tokenizer_object=base, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


class Server:
    """`anychip serve` on a port of its own; `kill` ends it at once and starts it again."""

    def __init__(self, model: Path):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._command = [
            *(sys.executable, "-m", "anychip", "serve", str(model), "--port", str(self.port), "--json"),
            *("--deterministic", "--running", str(RUNNING), "--waiting", str(WAITING)),
            *("--context", str(CONTEXT), "--cache-tokens", str(CONTEXT * 4)),
        ]
        self.is_there = threading.Event()
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the server did not start")
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self.is_there.set()

    def kill(self) -> None:
        """SIGKILL, then a new process; requests that begin meanwhile wait for it."""
        self.is_there.clear()
        self._process.kill()
        self._process.wait()
        self._start()

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(600)

    def ask(self, body: bytes, leaves_after: float | None = None) -> tuple[int, bytes]:
        """Status and answer; with `leaves_after` seconds the connection is closed without reading one."""
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            opened.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            if leaves_after is not None:
                time.sleep(leaves_after)
                return 0, b""
            answer = opened.getresponse()
            return answer.status, answer.read()
        finally:
            opened.close()

    def metrics(self) -> dict[str, float]:
        """Numbers of /metrics by name."""
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        opened.request("GET", "/metrics")
        lines = opened.getresponse().read().decode().splitlines()
        opened.close()
        found = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name.partition("{")[0]: float(value) for name, value in found}


def body_of(kind: str, prompt: str) -> bytes:
    """What a request of a kind sends."""
    if kind == "bad body":
        return b'{"prompt": '
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    body |= {"stream": True} if "stream" in kind else {}
    body |= {"n": -1} if kind == "wrong field" else {}
    body |= {"prompt": "x" * 2 * CONTEXT} if kind == "too long" else {}
    return json.dumps(body).encode()


def end_of(kind: str, status: int, answer: bytes, wanted: str) -> str:
    """The one end of a request. Raises MixedUpError for an answer that is another's, and for none or two."""
    if status == 0:
        return "left"
    if status != 200 or kind != "stream":
        told = json.loads(answer)
        if status == 200:
            texts = [choice["text"] for choice in told["choices"]]
            if texts != [wanted]:
                raise MixedUpError(f"{kind}: {texts} in place of {wanted!r}")
            return "answered"
        if not told["error"]["message"]:
            raise MixedUpError(f"{kind}: status {status} without a message")
        return f"status {status}"
    lines = [line.removeprefix("data: ") for line in answer.decode().splitlines() if line]
    *pieces, last = lines
    told = [json.loads(piece) for piece in pieces]
    if last != "[DONE]":
        if "error" not in json.loads(last) or any("error" in piece for piece in told):
            raise MixedUpError(f"{kind}: ends with {last}")
        return "error event"
    reasons = [c["finish_reason"] for piece in told for c in piece["choices"] if c["finish_reason"]]
    text = "".join(choice["text"] for piece in told for choice in piece["choices"])
    if text != wanted or reasons != ["length"]:
        raise MixedUpError(f"{kind}: {text!r} ({reasons}) in place of {wanted!r}")
    return "answered"


def run(requests: int, at_once: int, kills: int = 1) -> dict[str, Any]:
    """Counts of ends by kind. Raises MixedUpError."""
    rng = random.Random(0)
    kinds = [rng.choices(KINDS, (6, 6, 2, 2, 1, 1, 1))[0] for _ in range(requests)]
    ends: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        server = Server(Path(folder))
        wanted = {
            prompt: json.loads(server.ask(body_of("whole", prompt))[1])["choices"][0]["text"]
            for prompt in PROMPTS
        }
        marks = {requests * (k + 1) // (kills + 1) for k in range(kills)}
        lock = threading.Lock()

        def one(place: int) -> None:
            kind, prompt = kinds[place], PROMPTS[place * 7 % len(PROMPTS)]
            if place in marks:
                server.kill()
            server.is_there.wait()
            after = 0.002 * (place % 40) if kind.startswith("leaves") else None
            try:
                end = end_of(kind, *server.ask(body_of(kind, prompt), after), wanted[prompt])
            except (OSError, http.client.HTTPException):
                end = "connection lost"
            if end == "status 429":
                time.sleep(PATIENCE)
            with lock:
                ends[kind, end] += 1
                if ends.total() % 100 == 0:
                    sys.stderr.write(f"{ends.total()} requests have their end\n")

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(requests)))
        left = _until_idle(server)
        status = server.end()
    told: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for (kind, end), count in sorted(ends.items()):
        told[kind][end] = count
    return {
        "requests": requests,
        "at_once": at_once,
        "kills": kills,
        "different_answers": len(set(wanted.values())),
        "ends": told,
        "ends_in_all": sum(ends.values()),
        "left_in_the_end": left,
        "exit_status": status,
    }


def _until_idle(server: Server) -> dict[str, float]:
    """What is in use when a minute is over, or as soon as nothing is."""
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    found: dict[str, float] = {}
    for _ in range(120):
        told = server.metrics()
        found = {name: told[name] for name in names}
        if not any(found.values()):
            break
        time.sleep(0.5)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    found = run(given.requests, given.at_once)
    told = {"command": "python -m tools.serving.faults --record", "commit": commit(), **found}
    print(json.dumps(told, indent=1))
    if given.record:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

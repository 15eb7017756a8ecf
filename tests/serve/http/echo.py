"""A stand-in for a model that says its prompt again, byte by byte: the answer to a message is the message,
and a text goes on from its beginning. And a server over it, in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
from tests.serve.stand_in import PAGE, Steps

from anychip.serve.loading import Served
from anychip.serve.local_engine import Limits, LocalEngine
from anychip.serve.tokenizer import Tokenizer

BEGIN, END = 0, 1
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' and loop.last %}<s>{% endif %}{{ m.content }}"
    "{% endfor %}</s>"
)


def tokenizer() -> Tokenizer:
    """One token a byte, after `<s>` and `</s>`."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Base

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = Base(models.BPE({word: k for k, word in enumerate(["<s>", "</s>", *letters])}, []))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    base.decoder = decoders.ByteLevel()
    base.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in ("<s>", "</s>")])
    return Tokenizer(base, frozenset({END}), BEGIN, TEMPLATE)


class Echo(Steps):
    """The likeliest next token is that of the prompt, the second likeliest the one after it in the
    vocabulary. `pause` is in seconds a step."""

    vocabulary = 258
    pause = 0.0

    def decode(self, rows) -> torch.Tensor:
        time.sleep(self.pause)
        return super().decode(rows)

    def read(self, tokens, start: int, pages, hidden_alone: bool = False, adapter: int = 0) -> torch.Tensor:
        logits = super().read(tokens, start, pages)
        if not hidden_alone:
            return logits
        return torch.tensor([[float(start + len(tokens)), float(tokens[-1])]])

    def logits(self, held: list[int]) -> torch.Tensor:
        logits = torch.full((self.vocabulary,), -20.0)
        token = self.following(held)
        logits[token] = 10.0
        logits[(token + 1) % self.vocabulary] = 8.0
        return logits

    def following(self, held: list[int]) -> int:
        if END in held:
            end = held.index(END)
            said = held[:end][held[:end].index(BEGIN) + 1 :] if BEGIN in held[:end] else held[:end]
            answered = len(held) - end - 1
            return said[answered] if answered < len(said) else END
        return held[(len(held) * 7) % len(held)] if len(held) < 3 else held[-2]


@contextlib.contextmanager
def served(steps: Echo | None = None, adapters: tuple[str, ...] = (), **limits: int) -> Iterator[Served]:
    """An engine over the stand-in, closed afterwards."""
    given = {"context_length": 256, "pages": 128, "page": PAGE, **limits}
    words = tokenizer()
    engine = LocalEngine(
        steps or Echo(given["pages"]),
        Limits(**given),
        Echo.vocabulary,
        words.text,
        words.end_tokens,
        len(adapters),
    )
    try:
        yield Served("echo", engine, words, 0, 0, given["pages"] * PAGE, adapters)
    finally:
        engine.close()


@contextlib.contextmanager
def running(model: Served, **bounds: Any) -> Iterator[str]:
    """A server on a free port of this machine, ended afterwards. Gives its URL."""
    from anychip.serve.http.guard import Bounds
    from anychip.serve.http.run import Address, listening, server_of

    with listening(Address(port=0)) as opened:
        server = server_of(model, Bounds(**bounds), 5.0)
        thread = threading.Thread(target=lambda: server.run(sockets=[opened]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

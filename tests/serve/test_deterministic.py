"""The same bits, however a prompt is cut and whatever is computed beside it."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.serve.tiny_models import VOCABULARY, model_of, write_gguf

from anychip.serve.local_engine import Limits, LocalEngine
from anychip.serve.programs import Programs, Row
from anychip.serve.requests import Event, FinishEvent, Request, Sampling, TokenEvent

pytest.importorskip("transformers")
pytest.importorskip("gguf")

PAGE, PAGES, MOST = 8, 60, 12
RNG = np.random.default_rng(3)
PROMPTS = [tuple(int(token) for token in RNG.integers(2, 280, size)) for size in (45, 3, 20, 33, 7)]


@pytest.fixture(scope="module", params=["", "Q4_0"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    from anychip.serve.gguf_file import GgufFile
    from anychip.serve.model import from_gguf

    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_gguf(model_of("llama"), Path(path), request.param)
    return Programs(from_gguf(GgufFile(path)), PAGES + 1, PAGE, MOST, torch.float16, deterministic=True)


def bits(logits: torch.Tensor) -> bytes:
    return logits.contiguous().numpy().tobytes()


def test_logits_depend_neither_on_pieces_nor_on_the_batch(programs: Programs) -> None:
    with torch.no_grad():
        prompt = PROMPTS[0]
        pages = list(range(1, 8))
        whole = bits(programs.read(prompt, 0, pages)[0])
        for cuts in ((0, 16, 45), (0, 1, 2, 31, 44, 45), (0, 32, 45)):
            pages = [pages[-1], *pages[:-1]]
            logits = torch.empty(0)
            for first, last in pairwise(cuts):
                logits = programs.read(prompt[first:last], first, pages)
            assert bits(logits[0]) == whole
        row = Row(prompt[-1], len(prompt), pages)
        for count in (1, 2, 5, 12, 32):
            others = [Row(token, 1, [10 + k]) for k, token in enumerate(range(2, 1 + count))]
            for place in {0, count // 2, count - 1}:
                rows = [*others[:place], row, *others[place:]]
                assert bits(programs.decode(rows)[place]) == whole, (count, place)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            assert bits(programs.decode([row])[0]) == whole
        finally:
            torch.set_num_threads(threads)


def test_answers_are_those_of_a_request_alone(programs: Programs) -> None:
    """With a prefix that is found, too few pages for all, and requests that are cancelled."""
    sampling = [Sampling(temperature=0.0, logprobs=2), Sampling(temperature=1.5, seed=11, logprobs=2)]
    asked = [(prompt, way) for prompt in PROMPTS for way in sampling] * 2

    def run(requests: list[Request], side_by_side: bool) -> list[list[TokenEvent]]:
        limits = Limits(MOST * PAGE, 20, PAGE, 8)
        engine = LocalEngine(programs, limits, VOCABULARY, lambda tokens: "x" * len(tokens))
        found: dict[str, list[Event]] = {one.name: [] for one in requests}
        ended = threading.Semaphore(0)

        def deliver(event: Event) -> None:
            found[event.request].append(event)
            if isinstance(event, FinishEvent):
                ended.release()

        for place, one in enumerate(requests):
            engine.submit(one, deliver)
            if place % 5 == 2 and side_by_side:
                bother = Request((9, 9, 9), 50, name=f"bother-{place}")
                found[bother.name] = []
                engine.submit(bother, deliver)
                engine.cancel(bother.name)
            if not side_by_side:
                assert ended.acquire(timeout=120)
        assert engine.drain(120)
        engine.close()
        return [[e for e in found[one.name] if isinstance(e, TokenEvent)] for one in requests]

    def made() -> list[Request]:
        return [Request(prompt, 12, way, ignore_eos=True) for prompt, way in asked]

    def told(answers: list[list[TokenEvent]]) -> list[list[object]]:
        return [[(event.token, event.logprob) for event in answer] for answer in answers]

    assert told(run(made(), True)) == told(run(made(), False))

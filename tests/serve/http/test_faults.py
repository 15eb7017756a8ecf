"""Clients that leave, bodies that are none, a full queue, time that is over: each has one answer, and the
pages of the cache are free in the end."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from tests.serve.http import echo

from anychip.serve.loading import Served

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

PAGES = 128


@pytest.fixture
def slow() -> Iterator[Served]:
    steps = echo.Echo(PAGES)
    steps.pause = 0.005
    with echo.served(steps, running=4, waiting=3) as model:
        yield model


def chat(text: str, **more) -> dict:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def all_is_free(model: Served) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        load = model.engine.load()
        if (load.running, load.waiting, load.free_pages) == (0, 0, PAGES):
            return
        time.sleep(0.01)
    pytest.fail(f"pages are left: {model.engine.load()}")


def test_bad_bodies() -> None:
    bodies = [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'"x"', 400), (b"\xff\xfe{}", 400),
        (b"[" * 100_000, 400), (b'{"messages": 1}', 400), (b'{"messages": [1]}', 400), (b"{}", 400),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (b'{"messages": [{"role": "user", "content": "x"}], "seed": 1e400}', 400),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', 400),
        (b" " * 20_001, 413),
    ]  # fmt: skip
    with echo.served() as model, echo.running(model, body_bytes=20_000) as url, httpx.Client() as client:
        for body, status in bodies:
            if len(body) > 20_000 and status == 400:
                status = 413
            answer = client.post(
                f"{url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, body[:80]) == (status, body[:80])
            assert answer.json()["error"]["message"]
        unsized = client.post(
            f"{url}/v1/chat/completions",
            content=iter([b" " * 15_000] * 2),
            headers={"Content-Type": "application/json"},
        )
        assert unsized.status_code == 413
        assert client.post(f"{url}/v1/chat/completions", content=b"{}").status_code == 415
        assert client.get(f"{url}/v1/chat/completions").status_code == 405
        assert client.get(f"{url}/nothing").json()["error"]["type"] == "not_found_error"
        assert client.get(f"{url}/health").status_code == 200
        all_is_free(model)


def test_a_full_queue_is_said_and_nothing_is_lost(slow: Served) -> None:
    with echo.running(slow) as url, httpx.Client(timeout=120) as client:

        def ask(k: int) -> tuple[int, str]:
            answer = client.post(f"{url}/v1/chat/completions", json=chat(f"{k} " * 20))
            return answer.status_code, answer.json().get("choices", [{"message": {"content": ""}}])[0][
                "message"
            ]["content"]

        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(ask, range(24)))
        assert {status for status, _ in found} == {200, 429}
        for k, (status, text) in enumerate(found):
            assert text == (f"{k} " * 20 if status == 200 else "")
        several = client.post(f"{url}/v1/chat/completions", json=chat("x" * 200, n=8))
        assert several.status_code == 429
        assert several.headers["retry-after"] == "1"
        all_is_free(slow)


def test_too_many_open_requests(slow: Served) -> None:
    with echo.running(slow, open_requests=1) as url, httpx.Client(timeout=60) as client:
        with client.stream("POST", f"{url}/v1/chat/completions", json=chat("x" * 100, stream=True)) as answer:
            lines = answer.iter_lines()  # held, as the connection ends with it
            next(lines)
            assert client.get(f"{url}/v1/models").status_code == 429
            assert client.get(f"{url}/health").status_code == 200
        all_is_free(slow)


def test_time_is_over(slow: Served) -> None:
    slow.engine._steps.pause = 0.05  # type: ignore[attr-defined]
    with echo.running(slow, seconds=0.7) as url, httpx.Client(timeout=60) as client:
        late = client.post(f"{url}/v1/chat/completions", json=chat("x" * 200))
        assert (late.status_code, late.json()["error"]["code"]) == (503, "time_limit")
        with client.stream("POST", f"{url}/v1/chat/completions", json=chat("x" * 200, stream=True)) as answer:
            lines = [line for line in answer.iter_lines() if line]
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "time_limit"
        assert "data: [DONE]" not in lines
        all_is_free(slow)


def test_an_error_of_a_step_is_the_streams_last_event() -> None:
    steps = echo.Echo(PAGES)
    steps.fails_at = 6
    with echo.served(steps) as model, echo.running(model) as url, httpx.Client(timeout=60) as client:
        with client.stream("POST", f"{url}/v1/chat/completions", json=chat("x" * 50, stream=True)) as answer:
            lines = [line for line in answer.iter_lines() if line]
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["type"] == "server_error"
        assert client.post(f"{url}/v1/chat/completions", json=chat("x")).status_code == 200
        all_is_free(model)


def leave(url: str, body: dict, after: float) -> None:
    """Send a request and close the connection without reading the answer."""
    at = urlsplit(url)
    data = json.dumps(body).encode()
    with socket.create_connection((at.hostname, at.port)) as opened:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        opened.sendall(head.encode() + data)
        time.sleep(after)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_pages(slow: Served, stream: bool) -> None:
    with echo.running(slow) as url, httpx.Client() as client:
        slow.engine._steps.pause = 0.02  # type: ignore[attr-defined]
        leave(url, chat("x" * 120, stream=stream), 0.3)
        all_is_free(slow)
        assert 'finished_reason="abort"' in client.get(f"{url}/metrics").text


def test_many_requests_with_faults(slow: Served) -> None:
    """Each has exactly one end, and none has another's text."""
    rng = random.Random(0)
    kinds = [rng.choice(["whole", "stream", "leave", "bad", "long"]) for _ in range(120)]
    slow.engine._steps.pause = 0.001  # type: ignore[attr-defined]
    ends: list[str] = []
    lock = threading.Lock()
    with echo.running(slow) as url, httpx.Client(timeout=120) as client:

        def ask(k: int) -> None:
            text, path = f"<{k}>" * 12, f"{url}/v1/chat/completions"
            if kinds[k] == "leave":
                leave(url, chat(text, stream=k % 2 == 0), 0.002 * (k % 7))
                end = "left"
            elif kinds[k] == "stream":
                with client.stream("POST", path, json=chat(text, stream=True)) as answer:
                    lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
                end = str(answer.status_code)
                if answer.status_code == 200:
                    assert lines[-1] == "[DONE]"
                    parts = [json.loads(line)["choices"][0] for line in lines[:-1]]
                    assert "".join(part["delta"].get("content", "") for part in parts) == text
                    assert [part["finish_reason"] for part in parts if part["finish_reason"]] == ["stop"]
            else:
                body = {"whole": chat(text), "bad": chat(text, n=-1), "long": chat(text * 20)}[kinds[k]]
                answer = client.post(path, json=body)
                end = str(answer.status_code)
                if answer.status_code == 200:
                    assert answer.json()["choices"][0]["message"]["content"] == text
                elif kinds[k] != "whole":
                    assert end in ("400", "429")
            with lock:
                ends.append(end)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(len(kinds))))
        assert len(ends) == len(kinds)
        assert set(ends) <= {"200", "400", "429", "left"}
        assert ends.count("200") > 10
        all_is_free(slow)
        text = client.get(f"{url}/metrics").text
    assert 'vllm:num_requests_running{engine="0",model_name="echo"} 0.0' in text
    assert 'vllm:kv_cache_usage_perc{engine="0",model_name="echo"} 0.0' in text
    assert "vllm:time_to_first_token_seconds_bucket" in text


def test_tokens_of_texts_and_messages() -> None:
    with echo.served() as model, echo.running(model) as url, httpx.Client() as client:
        found = client.post(f"{url}/tokenize", json={"prompt": "é", "return_token_strs": True}).json()
        assert (found["count"], found["max_model_len"]) == (3, 256)
        assert found["tokens"] == list(echo.tokenizer().completion_prompt("é"))
        plain = client.post(f"{url}/tokenize", json={"prompt": "é", "add_special_tokens": False}).json()
        assert plain["tokens"] == found["tokens"][1:]
        said = client.post(f"{url}/tokenize", json={"messages": [{"role": "user", "content": "é"}]}).json()
        assert said["tokens"] == [*found["tokens"], echo.END]
        back = client.post(f"{url}/detokenize", json={"tokens": found["tokens"]}).json()
        assert back == {"prompt": "é"}
        assert client.post(f"{url}/detokenize", json={"tokens": [-1]}).json()["error"]["param"] == "tokens"
        assert client.post(f"{url}/tokenize", json={}).json()["error"]["param"] == "prompt"

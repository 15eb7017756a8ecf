"""`anychip serve` as a process: what it says at the start, and that SIGTERM lets an answer end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.tiny_models import model_of, write_gguf
from typer.testing import CliRunner

from anychip.cli.application import application

httpx = pytest.importorskip("httpx")
pytest.importorskip("gguf")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_gguf(model_of("llama"), path, "Q8_0")
    return path


@pytest.fixture
def server(file: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    key = tmp_path / "key"
    key.write_text("secret\n")
    command = [sys.executable, "-m", "anychip", "serve", str(file), "--port", "0", "--api-key-file", str(key)]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        yield process, json.loads(text)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_serves_and_drains(server: tuple[subprocess.Popen[str], dict[str, Any]]) -> None:
    process, plan = server
    assert plan["model"] == "tiny"
    assert plan["cache_tokens"] == 8 * plan["context_length"] == 1024
    assert plan["weight_bytes"] > 0
    assert plan["cache_bytes"] > 0
    asked = {"prompt": "hello", "max_tokens": 100, "temperature": 0, "ignore_eos": True, "stream": True}
    with httpx.Client(timeout=300, headers={"Authorization": "Bearer secret"}) as client:
        assert httpx.get(f"{plan['url']}/models", timeout=60).status_code == 401
        with client.stream("POST", f"{plan['url']}/completions", json=asked) as answer:
            assert answer.status_code == 200
            lines = []
            for line in answer.iter_lines():
                if not lines:
                    process.send_signal(signal.SIGTERM)
                lines += [line] if line else []
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert process.wait(60) == 0


def test_a_key_file_that_is_empty_is_said(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\nsecret")
    result = CliRunner().invoke(application, ["serve", str(file), "--api-key-file", str(tmp_path / "key")])
    assert "its first line is empty" in str(result.exception)

"""`anychip generate` and `anychip chat` with a small random model from a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.serve.tiny_models import model_of, write_gguf
from typer.testing import CliRunner

from anychip.cli.application import application

pytest.importorskip("gguf")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_gguf(model_of("llama"), path, "Q8_0")
    return path


def run(*arguments: str, given: str | None = None) -> str:
    result = CliRunner().invoke(application, [*arguments], input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_generate(file: Path) -> None:
    asked = ("generate", str(file), "--prompt", "hello", "--max-tokens", "6", "--ignore-eos")
    data = json.loads(run(*asked, "--json"))
    assert len(data["tokens"]) == 6
    assert data["finish_reason"] == "length"
    assert data["prompt_tokens_per_second"] > 0
    assert data["decode_tokens_per_second"] > 0
    assert run(*asked).strip() == data["text"].strip()
    drawn = [json.loads(run(*asked, "--json", "--temperature", "2", "--seed", "4")) for _ in range(2)]
    assert drawn[0]["tokens"] == drawn[1]["tokens"]


def test_chat(file: Path) -> None:
    answers = json.loads(run("chat", str(file), "--max-tokens", "4", "--json", given="hello\nhell\n\n"))
    assert len(answers) == 2
    assert answers[1]["prompt_tokens"] > answers[0]["prompt_tokens"]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(application, ["generate", str(tmp_path / "no.gguf"), "--prompt", "x"])
    assert "neither a file nor a folder" in str(result.exception)


def test_a_model_is_exported(file: Path, tmp_path: Path) -> None:
    given = ("export", str(file), "--chip", "cortex-a53", "--context", "64", "--prompt", "hell")
    report = json.loads(run(*given, "-o", str(tmp_path / "out"), "--json"))["report"]
    assert report["state"] == {
        "name": "cache",
        "bytes": 2 * 2 * 2 * 64 * 16 * 2,
    }  # layers, K and V, heads, f16
    assert len(report["generation"]["answer"]) == 32
    header = (tmp_path / "out" / "tiny.h").read_text()
    assert "position: int64 [1], strides [1] elements, below 64" in header
    result = CliRunner().invoke(application, [*given, "-o", str(tmp_path / "two"), "--watchdog"])
    assert "--watchdog" in str(result.exception)
    result = CliRunner().invoke(application, ["export", "a.pt2", *given[2:], "-o", str(tmp_path / "two")])
    assert "no language model" in str(result.exception)
    assert not (tmp_path / "two").exists()

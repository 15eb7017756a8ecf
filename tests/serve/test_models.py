"""Served models against the transformers library in float64: read in pieces and decoded token by token."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.serve.tiny_models import ARCHITECTURES, MODELS, as_float64, model_of, write_gguf

from anychip.serve.errors import ModelError
from anychip.serve.model import ServedModel, from_gguf, from_model
from anychip.serve.modules import Step
from anychip.serve.programs import Programs, Row

pytest.importorskip("transformers")

TOKENS = [int(token) for token in np.random.default_rng(0).integers(2, 280, 21)]
PAGES = [3, 1, 4, 2]
PAGE = 8


def served_logits(model: ServedModel, cache: torch.dtype = torch.float32) -> np.ndarray:
    """All tokens but the last four in two pieces, those one by one."""
    pages = model.pages(6, PAGE, cache)
    tables = torch.tensor([PAGES], dtype=torch.int32)
    found = []

    def step(first: int, last: int, one: bool) -> torch.Tensor:
        places = torch.arange(first, last)
        slots = torch.tensor(PAGES)[places // PAGE] * PAGE + places % PAGE
        starts = None if one else torch.tensor([first], dtype=torch.int32)
        made = Step(pages, slots.int(), tables, torch.tensor([last], dtype=torch.int32), starts)
        return model.logits(torch.tensor([TOKENS[first:last]]), places[None], made, None)

    with torch.no_grad():
        found += [step(0, 10, False), step(10, 17, False)]
        found += [step(k, k + 1, True) for k in range(17, len(TOKENS))]
    return torch.cat(found).numpy()


RARE = ("deepseek_v2", "qwen3_moe", "mistral")
"""Kinds whose parts others have as well: tried when there is time."""


@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=pytest.mark.slow if one in RARE else ()) for one in MODELS]
)
def test_logits_are_those_of_the_library(kind: str) -> None:
    model = model_of(kind)
    want = as_float64(copy.deepcopy(model), TOKENS)
    got = served_logits(from_model(model))
    assert np.abs(got - want).max() < 2e-4 * np.abs(want).max()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_logits_of_gguf_files(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from anychip.serve.gguf_file import GgufFile

    # Files do not say which of Gemma's layers look back how far: each sixth sees everything.
    changes = {"layer_types": ["sliding_attention"] * 2} if kind == "gemma3_text" else {}
    model = model_of(kind, **changes)
    write_gguf(model, tmp_path / "model.gguf")
    got = served_logits(from_gguf(GgufFile(tmp_path / "model.gguf")))
    want = as_float64(model, TOKENS)
    assert np.abs(got - want).max() < 2e-4 * np.abs(want).max()


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_packed_weights_differ_by_the_rounding_of_activations(name: str, tmp_path: Path) -> None:
    """Against the numbers of the file in float64."""
    gguf = pytest.importorskip("gguf")
    from anychip.serve.gguf_file import GgufFile

    # All experts answer, by shares that are not steep: a router near a tie would choose others for rounded
    # activations.
    even = {"num_experts_per_tok": 4, "initializer_range": 0.15}
    model = model_of(name, **(even if name == "mixtral" else {}))
    write_gguf(model, tmp_path / "model.gguf", "Q8_0")
    got = served_logits(from_gguf(GgufFile(tmp_path / "model.gguf")))
    kind = gguf.GGMLQuantizationType.Q8_0
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim >= 2 and ".gate." not in key:
                numbers = gguf.quants.dequantize(gguf.quants.quantize(parameter.numpy(), kind), kind)
                parameter.copy_(torch.from_numpy(numbers))
    want = as_float64(model, TOKENS)
    assert np.sqrt(((got - want) ** 2).mean()) < 0.06 * np.sqrt((want**2).mean())


SELDOM = ("qwen3_moe", "gpt_oss", "deepseek_v2", "deepseek_v3")
"""Tried when there is time."""
BY_PROGRAMS = ("llama", "mixtral", *SELDOM)


@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=pytest.mark.slow if one in SELDOM else ()) for one in BY_PROGRAMS]
)
def test_programs_give_what_the_model_gives(kind: str) -> None:
    """Pieces and tokens of two sequences by replays, in pages that lie anywhere."""
    model = model_of(kind)
    want = as_float64(copy.deepcopy(model), TOKENS)[-1]
    fifth = as_float64(copy.deepcopy(model), TOKENS[:5])[-1]
    programs = Programs(from_model(copy.deepcopy(model)), 12, PAGE, 4, torch.float32)
    head = model.lm_head.weight.detach().double().numpy()
    with torch.no_grad():
        hidden = programs.read(TOKENS[:5], 0, [10], hidden_alone=True)
        for pages in (PAGES, [7, 9, 5, 8]):
            programs.read(TOKENS[:9], 0, pages)
            programs.read(TOKENS[9:20], 9, pages)
        row = Row(TOKENS[20], 21, PAGES)
        alone = programs.decode([row])
        both = programs.decode([Row(TOKENS[20], 21, [7, 9, 5, 8]), row])
    assert np.abs(hidden[0].double().numpy() @ head.T - fifth).max() < 2e-4 * np.abs(fifth).max()
    assert int(alone[0].argmax()) == want.argmax()
    for got in (alone[0], both[0], both[1]):
        assert np.abs(got.numpy() - want).max() < 2e-4 * np.abs(want).max()


@pytest.mark.parametrize(
    ("cache", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 1.5e-2), (torch.int8, 2e-2)]
)
def test_caches_of_fewer_bits(cache: torch.dtype, bound: float) -> None:
    """They differ by the rounding of keys and values, more than one of float32 does."""
    model = model_of("llama")
    want = as_float64(copy.deepcopy(model), TOKENS)
    got = served_logits(from_model(model), cache)
    error = np.sqrt(((got - want) ** 2).mean()) / np.sqrt((want**2).mean())
    assert 1e-5 < error < bound


def test_what_is_not_served_is_said(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    from anychip.serve.gguf_file import GgufFile

    path = tmp_path / "model.gguf"
    path.write_bytes(b"no such file")
    with pytest.raises(ModelError, match="damaged"):
        GgufFile(path)
    writer = gguf.GGUFWriter(path, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match="mamba"):
        from_gguf(GgufFile(path))
    write_gguf(model_of("llama"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    with pytest.raises(ModelError, match=r"tensor (output_norm|blk|token_embd)|damaged"):
        GgufFile(path)


def test_the_tokenizer_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from anychip.serve.gguf_file import GgufFile
    from anychip.serve.tokenizer import from_gguf as tokenizer_of

    write_gguf(model_of("llama"), tmp_path / "model.gguf")
    made = tokenizer_of(GgufFile(tmp_path / "model.gguf"))
    hello = made.tokens("hello")
    assert len(hello) == 1
    assert made.completion_prompt("hello") == (0, *hello)
    assert made.chat_prompt([{"role": "user", "content": "hello"}]) == (0, *hello, 1)
    assert 0 not in made.tokens("<s>hello")
    assert made.end_tokens == {1}
    for text in ("Grüße, 世界 👩‍👧", " two  spaces", "hell o\n\n"):
        assert made.text(made.tokens(text)) == text

"""Folders as the transformers library saves them: weights in the dtype that is stored, the tokenizer
beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.serve.test_models import TOKENS, served_logits
from tests.serve.tiny_models import as_float64, model_of

from anychip.serve import tokenizer
from anychip.serve.errors import ModelError
from anychip.serve.model import from_folder

transformers = pytest.importorskip("transformers")
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    path = tmp_path_factory.mktemp("model")
    model_of("llama").bfloat16().save_pretrained(path)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = Tokenizer(
        models.BPE({word: k for k, word in enumerate(["<s>", "</s>", *letters, "he"])}, [("h", "e")])
    )
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    base.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in ("<s>", "</s>")])
    base.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=base, bos_token="<s>", eos_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    return path


def test_logits_are_those_of_the_weights_as_stored(folder: Path) -> None:
    stored = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    want = as_float64(stored, TOKENS)
    told: list[tuple[int, int]] = []
    got = served_logits(from_folder(folder, lambda done, of: told.append((done, of))))
    assert np.abs(got - want).max() < 2e-4 * np.abs(want).max()
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] == len(told) - 1


def test_the_tokenizer_of_a_folder(folder: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    made = tokenizer.from_folder(folder, config)
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("hello there", "Grüße, 世界", "  two\n\n"):
        assert list(made.completion_prompt(text)) == peer(text).input_ids
        assert made.text(made.tokens(text)) == text
    said = [{"role": "user", "content": "hé"}, {"role": "assistant", "content": "he"}]
    wanted = peer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    assert list(made.chat_prompt(said)) == peer(wanted, add_special_tokens=False).input_ids
    assert made.end_tokens == {1}
    assert made.begin == 0


def test_a_folder_that_is_no_model_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model"):
        from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError, match="holds no"):
        from_folder(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="holds no tokenizer"):
        tokenizer.from_folder(tmp_path, transformers.AutoConfig.from_pretrained(folder))
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="holds no model"):
        from_folder(tmp_path)


def test_tensors_that_are_missing_are_said(folder: Path, tmp_path: Path) -> None:
    """The library draws them at random."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(
        ModelError, match=r"lacks tensors of its model: model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        from_folder(tmp_path)

"""Small models of the transformers library with random weights, trained for some steps under the strict
policy: every operator on the way, forward and backward, is ours, and the losses are PyTorch's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

transformers = pytest.importorskip("transformers", reason="needs the package transformers")

STEPS = 20
VOCABULARY = 61
WIDTH = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**WIDTH, "vocab_size": VOCABULARY, "max_position_embeddings": 32}
Inputs = dict[str, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are too small to be divided among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tokens(length: int = 12) -> Inputs:
    """Two sequences to be continued."""
    ids = torch.randint(3, VOCABULARY, (2, length))
    return {"input_ids": ids, "labels": ids}


def masked() -> Inputs:
    """Two sequences of different lengths."""
    ids = torch.randint(3, VOCABULARY, (2, 12))
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 8:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids}


def bert() -> tuple[Any, Inputs]:
    config = transformers.BertConfig(**TEXT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return transformers.BertForMaskedLM(config), masked()


def gpt2() -> tuple[Any, Inputs]:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=32,
        n_embd=32,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return transformers.GPT2LMHeadModel(config), tokens()


def llama() -> tuple[Any, Inputs]:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT, num_key_value_heads=2)), tokens()


def qwen3() -> tuple[Any, Inputs]:
    config = transformers.Qwen3Config(**TEXT, num_key_value_heads=2, head_dim=8)
    return transformers.Qwen3ForCausalLM(config), tokens()


def mixtral() -> tuple[Any, Inputs]:
    config = transformers.MixtralConfig(
        **TEXT, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2
    )
    return transformers.MixtralForCausalLM(config), tokens()


def vit() -> tuple[Any, Inputs]:
    config = transformers.ViTConfig(
        **WIDTH,
        image_size=16,
        patch_size=8,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.ViTForImageClassification(config)
    return model, {"pixel_values": torch.randn(2, 3, 16, 16), "labels": torch.tensor([0, 2])}


def whisper() -> tuple[Any, Inputs]:
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=8,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=16,
        max_target_positions=16,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    return model, {"input_features": torch.randn(2, 8, 32), "labels": torch.randint(3, VOCABULARY, (2, 6))}


def clip() -> tuple[Any, Inputs]:
    config = transformers.CLIPConfig(
        text_config={**TEXT, "projection_dim": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        vision_config={**WIDTH, "image_size": 16, "patch_size": 8, "projection_dim": 16},
        projection_dim=16,
    )
    ids = torch.randint(3, VOCABULARY, (3, 7))
    inputs = {"input_ids": ids, "pixel_values": torch.randn(3, 3, 16, 16), "return_loss": True}
    return transformers.CLIPModel(config), inputs


def t5() -> tuple[Any, Inputs]:
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return transformers.T5ForConditionalGeneration(config), tokens()


def mamba2() -> tuple[Any, Inputs]:
    config = transformers.Mamba2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        expand=2,
        head_dim=16,
        num_heads=4,
        n_groups=1,
        chunk_size=8,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return transformers.Mamba2ForCausalLM(config), tokens(16)


MODELS: list[Callable[[], tuple[Any, Inputs]]] = [
    bert,
    gpt2,
    llama,
    qwen3,
    mixtral,
    vit,
    whisper,
    clip,
    t5,
    mamba2,
]


def losses(model: Any, batch: Inputs) -> list[float]:
    """Losses of training on one batch."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, foreach=False)
    found = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
    return [float(loss) for loss in found]


@pytest.mark.parametrize(
    "build",
    [pytest.param(build, marks=() if build in (bert, gpt2, vit) else pytest.mark.slow) for build in MODELS],
    ids=lambda build: build.__name__,
)
def test_training_is_as_pytorch_trains(build: Callable[[], tuple[Any, Inputs]]) -> None:
    torch.manual_seed(0)
    model, batch = build()
    twin = copy.deepcopy(model)
    expected = losses(twin, batch)
    launched = sum(launch_counts.values())
    anychip.report(reset=True)
    with anychip.using("strict"):
        found = losses(model, batch)
    assert expected[-1] < expected[0]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-4, atol=2e-5)
    assert sum(launch_counts.values()) - launched > 50 * STEPS
    assert not anychip.report().fallen

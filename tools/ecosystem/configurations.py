"""The models of `transformers` that `models.py` times, in two sizes each, with random weights.
In: a size. Out: a module, and an input for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf


@dataclass(frozen=True)
class Size:
    """How large a model and its input are: transformers by width, depth, vocabulary and tokens; networks of
    convolutions by the channels and layers of their stages, and pixels."""

    hidden: int
    layers: int
    heads: int
    words: int
    tokens: int
    stages: tuple[int, ...]
    depths: tuple[int, ...]
    pixels: int
    runs: int
    """Repetitions that are timed."""

    @property
    def encoder(self) -> dict[str, Any]:
        """The names that most configurations have in common."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.words,
        }

    @property
    def decoder(self) -> dict[str, Any]:
        """Those of models that write, without the memory of what they wrote."""
        return {**self.encoder, "use_cache": False, "bos_token_id": 1, "eos_token_id": 2}

    @property
    def intermediate(self) -> int:
        """The width inside of a feed-forward block."""
        return (4 if self.layers > 2 else 2) * self.hidden


SIZES = {
    "tiny": Size(64, 2, 4, 512, 32, (16, 32, 64, 128), (1, 1, 1, 1), 64, 100),
    "base": Size(768, 12, 12, 30522, 128, (64, 128, 256, 512), (2, 2, 2, 2), 224, 8),
}

LANGUAGE: dict[str, Callable[[Size], torch.nn.Module]] = {
    "bert": lambda size: hf.BertModel(hf.BertConfig(**size.encoder)),
    "roberta": lambda size: hf.RobertaModel(hf.RobertaConfig(**size.encoder)),
    "electra": lambda size: hf.ElectraModel(hf.ElectraConfig(**size.encoder, embedding_size=size.hidden)),
    "distilbert": lambda size: hf.DistilBertModel(
        hf.DistilBertConfig(
            dim=size.hidden,
            n_layers=size.layers,
            n_heads=size.heads,
            hidden_dim=size.intermediate,
            vocab_size=size.words,
        )
    ),
    "gpt2": lambda size: hf.GPT2Model(
        hf.GPT2Config(
            n_embd=size.hidden,
            n_layer=size.layers,
            n_head=size.heads,
            vocab_size=size.words,
            use_cache=False,
            bos_token_id=1,
            eos_token_id=2,
        )
    ),
    "llama": lambda size: hf.LlamaModel(hf.LlamaConfig(**size.decoder)),
    "mistral": lambda size: hf.MistralModel(
        hf.MistralConfig(**size.decoder, num_key_value_heads=size.heads // 2)
    ),
    "qwen2": lambda size: hf.Qwen2Model(hf.Qwen2Config(**size.decoder, num_key_value_heads=size.heads // 2)),
    "opt": lambda size: hf.OPTModel(
        hf.OPTConfig(**size.decoder, ffn_dim=size.intermediate, word_embed_proj_dim=size.hidden)
    ),
    "t5 encoder": lambda size: hf.T5EncoderModel(
        hf.T5Config(
            d_model=size.hidden,
            num_layers=size.layers,
            num_heads=size.heads,
            d_ff=size.intermediate,
            d_kv=size.hidden // size.heads,
            vocab_size=size.words,
        )
    ),
}
"""Ten models of language."""

VISION: dict[str, Callable[[Size], torch.nn.Module]] = {
    "resnet": lambda size: hf.ResNetModel(
        hf.ResNetConfig(
            embedding_size=size.stages[0],
            hidden_sizes=list(size.stages),
            depths=list(size.depths),
            layer_type="basic",
        )
    ),
    "convnext": lambda size: hf.ConvNextModel(
        hf.ConvNextConfig(hidden_sizes=list(size.stages), depths=list(size.depths))
    ),
    "mobilenet": lambda size: hf.MobileNetV2Model(
        hf.MobileNetV2Config(depth_multiplier=0.35 if size.pixels < 200 else 1.0)
    ),
}
"""Networks of convolutions."""

MODELS = {**LANGUAGE, **VISION}


def example(name: str, size: Size) -> torch.Tensor:
    """An input: tokens, or an image."""
    if name in VISION:
        return torch.randn(1, 3, size.pixels, size.pixels)
    return torch.randint(5, size.words, (1, size.tokens))

"""Small models of eleven kinds, each with batches to train on. Flows in: a name, PyTorch's random stream.
Flows out: a model whose weights the stream draws, and the loss of a batch that a generator draws. Models of
language, images and speech are the transformers library's; the others are written out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WORDS, BATCH, LENGTH = 96, 4, 24


@dataclass(frozen=True, slots=True)
class Task:
    """A model, and the loss of a batch that `generator` draws."""

    model: nn.Module
    loss: Callable[[torch.Generator], Tensor]


# ---- models of the transformers library -----------------------------------------------------------

SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
LANGUAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("llama", {}),
    "Qwen3": ("qwen3", {}),
    "Qwen3-MoE": (
        "qwen3_moe",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True},
    ),
    "DeepSeek-V3": (
        "deepseek_v3",
        {
            "num_key_value_heads": 4,
            "head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "moe_intermediate_size": 32,
            "q_lora_rank": 24,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 16,
            "v_head_dim": 16,
        },
    ),
    "Mamba-2": (
        "mamba2",
        {"num_heads": 6, "head_dim": 16, "state_size": 16, "n_groups": 1, "chunk_size": 8, "expand": 2},
    ),
}
"""Name -> the library's model type, and what its configuration has besides SIZES."""


def _tokens(generator: torch.Generator) -> Tensor:
    """Runs of neighbouring numbers, int64 [BATCH, LENGTH]: each next token can be learnt."""
    starts = torch.randint(0, WORDS, (BATCH, 1), generator=generator)
    strides = torch.randint(1, 4, (BATCH, 1), generator=generator)
    return (starts + strides * torch.arange(LENGTH)) % WORDS


def _language(name: str) -> Task:
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, more = LANGUAGE[name]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **more}))

    def loss(generator: torch.Generator) -> Tensor:
        tokens = _tokens(generator)
        return model(input_ids=tokens, labels=tokens, use_cache=False).loss

    return Task(model, loss)


def _t5() -> Task:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=WORDS, d_model=48, d_kv=16, d_ff=96, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)

    def loss(generator: torch.Generator) -> Tensor:
        tokens = _tokens(generator)
        return model(input_ids=tokens, labels=tokens.flip(1), use_cache=False).loss

    return Task(model, loss)


def _whisper() -> Task:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=WORDS, num_mel_bins=16, d_model=48, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96, decoder_ffn_dim=96,
        max_source_positions=16, max_target_positions=LENGTH, decoder_start_token_id=0, pad_token_id=0,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)

    def loss(generator: torch.Generator) -> Tensor:
        sound = torch.randn(BATCH, 16, 32, generator=generator)
        return model(input_features=sound, labels=_tokens(generator), use_cache=False).loss

    return Task(model, loss)


def _pictures(generator: torch.Generator, size: int = 16) -> tuple[Tensor, Tensor]:
    """Noisy stripes [BATCH, 3, size, size], and which of four directions they have."""
    kinds = torch.randint(0, 4, (BATCH,), generator=generator)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.stack([torch.sin(0.8 * line) for line in (x, y, x + y, x - y)])
    noise = torch.randn(BATCH, 3, size, size, generator=generator)
    return waves[kinds][:, None] + 0.5 * noise, kinds


def _vit() -> Task:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=16,
        patch_size=4, num_labels=4,
    )  # fmt: skip
    model = ViTForImageClassification(config)

    def loss(generator: torch.Generator) -> Tensor:
        pictures, kinds = _pictures(generator)
        return model(pixel_values=pictures, labels=kinds).loss

    return Task(model, loss)


# ---- a network of residual convolutions (He et al., arXiv:1512.03385) ------------------------------


class Residual(nn.Module):
    """Two convolutions with batch norms, beside the way past them."""

    def __init__(self, given: int, made: int, stride: int):
        super().__init__()
        self.through = nn.Sequential(
            nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU(),
            nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made),
        )  # fmt: skip
        self.past = nn.Conv2d(given, made, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, given, height, width] to [batch, made, height / stride, width / stride]."""
        return F.relu(self.through(x) + self.past(x))


def _resnet() -> Task:
    model = nn.Sequential(
        Residual(3, 16, 1), Residual(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)
    )

    def loss(generator: torch.Generator) -> Tensor:
        pictures, kinds = _pictures(generator)
        return F.cross_entropy(model(pictures), kinds)

    return Task(model, loss)


# ---- models that take noise away (Ho et al., arXiv:2006.11239) -------------------------------------


def _noised(model: nn.Module, generator: torch.Generator) -> Tensor:
    """How well the noise in pictures is found, whose share of them is a time between 0 and 1."""
    pictures, _ = _pictures(generator)
    times = torch.rand(BATCH, generator=generator)
    noise = torch.randn(pictures.shape, generator=generator)
    share = times[:, None, None, None]
    return F.mse_loss(model((1 - share).sqrt() * pictures + share.sqrt() * noise, times).float(), noise)


def _waves(times: Tensor, width: int) -> Tensor:
    """Times [batch] as sines and cosines [batch, width]."""
    angles = 1000.0 * times[:, None] * 10000.0 ** (-torch.arange(width // 2) / (width // 2))
    return torch.cat([angles.sin(), angles.cos()], -1)


class UNet(nn.Module):
    """Convolutions at two sizes with group norms, the larger one's passed on (arXiv:1505.04597)."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.times = nn.Linear(32, 2 * width)
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), nn.GroupNorm(4, width), nn.SiLU())
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.inner = nn.Sequential(
            nn.GroupNorm(4, 2 * width), nn.SiLU(), nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.SiLU()
        )
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.last = nn.Conv2d(2 * width, 3, 3, 1, 1)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """x [batch, 3, height, width] of even sizes, times [batch], to x's shape."""
        wide = self.first(x)
        small = self.down(wide) + self.times(_waves(times, 32))[:, :, None, None]
        return self.last(torch.cat([wide, self.up(small + self.inner(small))], 1))


class DiffusionBlock(nn.Module):
    """A transformer's block whose norms the time shifts, scales and gates (arXiv:2212.09748)."""

    def __init__(self, width: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width)
        )
        self.of_time = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [batch, patches, width], time [batch, width], to x's shape."""
        a, b, c, d, e, f = self.of_time(F.silu(time))[:, None].chunk(6, -1)
        y = self.norms[0](x) * (1 + a) + b
        x = x + c * self.attention(y, y, y, need_weights=False)[0]
        return x + f * self.feed(self.norms[1](x) * (1 + d) + e)


class DiffusionTransformer(nn.Module):
    """Patches of 4 x 4 through two blocks."""

    def __init__(self, width: int = 48, patches: int = 16):
        super().__init__()
        self.into = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(patches, width))
        self.time = nn.Linear(32, width)
        self.blocks = nn.ModuleList(DiffusionBlock(width) for _ in range(2))
        self.out = nn.Linear(width, 48)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """x [batch, 3, 16, 16], times [batch], to x's shape."""
        time = self.time(_waves(times, 32))
        tokens = self.into(x).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            tokens = block(tokens, time)
        return F.pixel_shuffle(self.out(tokens).transpose(1, 2).unflatten(2, (4, 4)), 4)


def _noise_finder(kind: Callable[[], nn.Module]) -> Task:
    model = kind()
    return Task(model, lambda generator: _noised(model, generator))


TASKS: dict[str, Callable[[], Task]] = {
    **{name: lambda name=name: _language(name) for name in LANGUAGE},
    "ViT": _vit,
    "Whisper": _whisper,
    "T5": _t5,
    "diffusion transformer": lambda: _noise_finder(DiffusionTransformer),
    "U-Net": lambda: _noise_finder(UNet),
    "ResNet": _resnet,
}
"""Name -> what makes the model from PyTorch's random stream, and its batches."""

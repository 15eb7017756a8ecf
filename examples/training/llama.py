"""A small Llama written out, so that every way of cutting it can be read: rotary positions, grouped-query
attention, RMS norms, gated feed-forward layers, and in some models a mixture of experts in every other layer.
Flows in: tokens. Flows out: logits, or the activations of a pipeline's stage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # called as F.name: context parallelism puts its own function there
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class Shape:
    """Sizes of a model. `experts` is 0 where all layers are dense; of the experts each token takes
    `chosen`."""

    vocabulary: int = 256
    width: int = 64
    layers: int = 4
    heads: int = 4
    key_heads: int = 2
    hidden: int = 128
    experts: int = 0
    chosen: int = 2

    def with_vocabulary(self, vocabulary: int) -> Shape:
        """The same model with another number of tokens."""
        return replace(self, vocabulary=vocabulary)


MODELS = {
    "llama-tiny": Shape(experts=4),
    "llama-tiny-dense": Shape(),
    "llama-small": Shape(width=256, layers=6, heads=8, key_heads=4, hidden=688),
    "llama-base": Shape(width=768, layers=12, heads=12, key_heads=12, hidden=2048),
}


def rotations(length: int, width: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines of each position's angles, [length, width] each (Su et al., arXiv:2104.09864)."""
    frequencies = base ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x [batch, heads, length, width], each pair of its halves turned by its position's angle."""
    low, high = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-high, low), dim=-1) * sines


class Attention(nn.Module):
    """Causal attention. Heads are counted from the projections, of which a rank may have a part."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.head_width = shape.width // shape.heads
        inner, keys = shape.heads * self.head_width, shape.key_heads * self.head_width
        self.query = nn.Linear(shape.width, inner, bias=False)
        self.key = nn.Linear(shape.width, keys, bias=False)
        self.value = nn.Linear(shape.width, keys, bias=False)
        self.output = nn.Linear(inner, shape.width, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape."""
        batch, length, _ = x.shape
        q, k, v = (
            layer(x).view(batch, length, -1, self.head_width).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        q, k = _rotated(q, cosines, sines), _rotated(k, cosines, sines)
        sharing = q.shape[1] // k.shape[1]
        if sharing > 1:
            k, v = k.repeat_interleave(sharing, dim=1), v.repeat_interleave(sharing, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """Feed-forward layers of which each serves its own rows. With expert parallelism a rank has a part."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.gate = nn.Parameter(torch.empty(shape.experts, shape.hidden, shape.width))
        self.up = nn.Parameter(torch.empty(shape.experts, shape.hidden, shape.width))
        self.down = nn.Parameter(torch.empty(shape.experts, shape.width, shape.hidden))

    def forward(self, rows: Tensor, counts: Tensor) -> Tensor:
        """rows [n, width] in the order of their experts, counts [experts], to [n, width]."""
        gate, up, down = (
            w.to_local() if isinstance(w, DTensor) else w for w in (self.gate, self.up, self.down)
        )
        parts = rows.split(counts.tolist())
        return torch.cat(
            [
                F.linear(F.silu(F.linear(part, gate[e])) * F.linear(part, up[e]), down[e])
                for e, part in enumerate(parts)
            ]
        )


class Mixture(nn.Module):
    """Each token's `chosen` likeliest experts, weighted by their probabilities; no token is dropped."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.chosen = shape.chosen
        self.count = shape.experts
        self.router = nn.Linear(shape.width, shape.experts, bias=False)
        self.experts = Experts(shape)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape."""
        rows = x.reshape(-1, x.shape[-1])
        shares, experts = self.router(rows).float().softmax(dim=-1).topk(self.chosen, dim=-1)
        order = experts.flatten().argsort(stable=True)
        counts = (experts.flatten()[:, None] == torch.arange(self.count)).sum(dim=0)
        served = self.experts(rows[order // self.chosen], counts)
        back = served[order.argsort()].view(len(rows), self.chosen, -1)
        return (back * shares.to(x.dtype)[..., None]).sum(dim=1).view_as(x)


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm and beside a residual."""

    def __init__(self, shape: Shape, has_experts: bool):
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.feed_forward = Mixture(shape) if has_experts else FeedForward(shape)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape."""
        x = x + self.attention(self.attention_norm(x), cosines, sines)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Llama(nn.Module):
    """The model, or a stage of it: a stage has no embedding, no output or fewer layers, under the same
    names."""

    def __init__(self, shape: Shape, length: int):
        super().__init__()
        self.embedding: nn.Module | None = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleDict(
            {str(n): Block(shape, bool(shape.experts) and n % 2 == 1) for n in range(shape.layers)}
        )
        self.norm: nn.Module | None = nn.RMSNorm(shape.width, eps=1e-5)
        self.output: nn.Module | None = nn.Linear(shape.width, shape.vocabulary, bias=False)
        cosines, sines = rotations(length, shape.width // shape.heads)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                spread = 0.02 if "output" in name or "down" in name else parameter.shape[-1] ** -0.5
                nn.init.normal_(parameter, std=spread)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [batch, length] (or a stage's activations) to logits [batch, length, vocabulary]."""
        if self.embedding is not None:
            x = self.embedding(x)
        for layer in self.layers.values():
            x = layer(x, self.cosines, self.sines)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.output is None else self.output(x)

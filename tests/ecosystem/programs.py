"""Small whole programs compiled with `backend="anychip"`: models of `transformers` and modules of PyTorch's
own parts, in inference and in training, with random weights.

    python -m tests.ecosystem.programs NAME

In: a name. The program runs eagerly and compiled, and raises unless results (in training, gradients too) are
equal but for rounding and a kernel of ours ran.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tools.ecosystem.configurations import MODELS, SIZES, example

CALLS = 3
"""The first compiles, the second records, the third replays."""


class Residual(nn.Module):
    """A block of convolutions around which the input goes, too."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.silu(self.norm(self.first(x))))


class UNet(nn.Module):
    """Down and up again, with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), Residual(16))
        self.below = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), Residual(32))
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.last = nn.Conv2d(32, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high = self.down(x)
        return self.last(torch.cat([high, self.up(self.below(high))], 1))


class Mixer(nn.Module):
    """Patches and channels mixed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)
        self.norm = nn.LayerNorm(32)
        self.along = nn.Sequential(nn.Linear(64, 48), nn.GELU(), nn.Linear(48, 64))
        self.across = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).mT
        x = x + self.along(self.norm(x).mT).mT
        return (x + self.across(self.norm(x))).mean(1)


class Recommender(nn.Module):
    """Bags of words and products of their vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.EmbeddingBag(100, 16, mode="sum")
        self.deep = nn.Sequential(nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        words = (dense.abs() * 37).long() % 100
        vectors = torch.stack([self.bags(words[:, :3]), self.bags(words[:, 3:6]), self.bags(words[:, 6:])], 1)
        products = (vectors @ vectors.mT).flatten(1)
        return torch.sigmoid(self.deep(torch.cat([dense, products, vectors[:, 0]], 1)))


class Graph(nn.Module):
    """Messages along edges, added up at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.Linear(24, 24)
        self.update = nn.GRUCell(24, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        source = torch.arange(200) * 7 % len(x)
        target = torch.arange(200) * 13 % len(x)
        for _ in range(3):
            sent = torch.zeros_like(x).index_add(0, target, self.message(x)[source].relu())
            x = self.update(sent, x)
        return x


class Causal(nn.Module):
    """Attention with rotated positions and a gated block."""

    def __init__(self) -> None:
        super().__init__()
        self.joined = nn.Linear(64, 192, bias=False)
        self.out = nn.Linear(64, 64, bias=False)
        self.gate = nn.Linear(64, 256, bias=False)
        self.back = nn.Linear(128, 64, bias=False)
        self.norm = nn.RMSNorm(64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.joined(self.norm(x)).view(batch, length, 3, 4, 16).permute(2, 0, 3, 1, 4)
        angle = torch.outer(torch.arange(length), 100.0 ** -(torch.arange(8) / 8))
        q, k = (self._turn(part, angle) for part in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        up, gate = self.gate(self.norm(x)).chunk(2, -1)
        return x + self.back(F.silu(gate) * up)

    @staticmethod
    def _turn(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, -1)
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Experts(nn.Module):
    """Two of four experts for each row, by weight."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(32, 4)
        self.weights = nn.Parameter(torch.randn(4, 32, 32) / 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, chosen = self.router(x).softmax(-1).topk(2)
        each = torch.einsum("nd,edf->nef", x, self.weights)
        picked = each.gather(1, chosen[..., None].expand(-1, -1, 32))
        return (weight[..., None] * picked).sum(1)


class Statistics(nn.Module):
    """Sorting, running sums, norms and quantiles of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ordered, where = x.sort(-1)
        ranks = where.argsort(-1).to(x.dtype)
        rest = [
            ordered.cumsum(-1),
            x.cummax(-1).values,
            ranks,
            (x - x.mean(-1, True)) / x.std(-1, keepdim=True),
        ]
        return torch.stack(rest).logsumexp(0) + x.kthvalue(5, -1).values[:, None]


class Sequence(nn.Module):
    """A recurrent network and what it says at its end."""

    def __init__(self, kind: Callable[..., nn.RNNBase]):
        super().__init__()
        self.network = kind(12, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.network(x)[0][:, -1]).log_softmax(-1)


def image(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


PLAIN: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 3)),
        lambda: torch.randn(16, 20),
    ),
    "digits": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 5),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(256, 10),
        ),
        image,
    ),
    "residual": (lambda: nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), Residual(16), Residual(16)), image),
    "unet": (UNet, image),
    "mixer": (Mixer, image),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True),
        lambda: torch.randn(2, 24, 32),
    ),
    "causal": (Causal, lambda: torch.randn(2, 48, 64)),
    "experts": (Experts, lambda: torch.randn(40, 32)),
    "recommender": (Recommender, lambda: torch.randn(8, 11)),
    "graph": (Graph, lambda: torch.randn(50, 24)),
    "waves": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 8, 5, dilation=2),
            nn.Tanh(),
            nn.Conv1d(8, 8, 5, dilation=4),
            nn.PReLU(),
            nn.AvgPool1d(4),
        ),
        lambda: torch.randn(3, 2, 120),
    ),
    "lstm": (lambda: Sequence(nn.LSTM), lambda: torch.randn(4, 15, 12)),
    "statistics": (Statistics, lambda: torch.randn(6, 70)),
}
"""What makes a module of PyTorch's own parts, and its input."""

TRAINED = frozenset({"perceptron", "residual", "causal", "experts", "graph", "bert", "gpt2"})
"""Programs that are trained, too."""

NAMES = (*PLAIN, *MODELS)


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A program's module, without dropout, and an input."""
    torch.manual_seed(0)
    if name in PLAIN:
        module, value = PLAIN[name]
        return module().eval(), value()
    return MODELS[name](SIZES["tiny"]).eval(), example(name, SIZES["tiny"])


def outcome(
    module: nn.Module, run: Callable[..., Any], value: torch.Tensor, train: bool
) -> list[torch.Tensor]:
    """A program's result, in training with its gradients."""
    with torch.set_grad_enabled(train):
        result = run(value)
        result = result if isinstance(result, torch.Tensor) else result[0]
    if not train:
        return [result]
    module.zero_grad()
    result.square().mean().backward()
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    # Where nothing depends on a parameter, compiled code gives zeros for eager's None.
    return [
        result.detach(),
        *(torch.zeros_like(p) if grad is None else grad.clone() for p, grad in gradients),
    ]


def check(name: str) -> None:
    """Run a program and compare. Raises AssertionError."""
    from anychip.runtime import launches

    module, value = made(name)
    for train in (False, True) if name in TRAINED else (False,):
        wanted = outcome(module, module, value, train)
        compiled = torch.compile(module, backend="anychip")
        for _ in range(CALLS):
            before = launches.count()
            got = outcome(module, compiled, value, train)
            assert launches.count() > before, f"{name}: no kernel of ours ran"
            assert len(got) == len(wanted)
            scale = max(1e-6, *(float(x.abs().max()) for x in wanted))
            for a, b in zip(got, wanted, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * scale)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:]:
        check(chosen)
        print(chosen, "equal", flush=True)

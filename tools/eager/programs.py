"""Twenty programs in configurations so small that what a call costs decides: transformers and networks of
convolutions in inference, recurrent, graph and diffusion networks, and training steps.
In: a name. Out: a function without arguments that runs the program once, always the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.nn import functional

from tools.ecosystem.configurations import MODELS, SIZES, example

TINY = SIZES["tiny"]
Program = Callable[[], Any]


class GraphNetwork(nn.Module):
    """Two layers that add up the features of each node's neighbours (Kipf and Welling, 2017)."""

    def __init__(self, nodes: int, edges: int):
        super().__init__()
        self.source, self.target = torch.randint(nodes, (2, edges))
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 8)

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """The mean over each node's neighbours."""
        ones = torch.ones(self.target.shape[0])
        degree = torch.zeros(x.shape[0]).index_add(0, self.target, ones).clamp(min=1)
        return torch.zeros_like(x).index_add(0, self.target, x[self.source]) / degree[:, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores [nodes, 8] of node features [nodes, 16]."""
        return self.second(self.spread(functional.relu(self.first(self.spread(x))))).log_softmax(-1)


class AttentionGraph(nn.Module):
    """A layer in which nodes weigh their neighbours (Velickovic et al., 2018), over a dense mask."""

    def __init__(self, nodes: int):
        super().__init__()
        self.features, self.scores = nn.Linear(16, 16), nn.Linear(32, 1)
        self.mask = torch.rand(nodes, nodes) < 0.2
        self.mask.fill_diagonal_(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """New features [nodes, 16]."""
        h = self.features(x)
        n = h.shape[0]
        pairs = torch.cat([h[:, None].expand(n, n, -1), h[None].expand(n, n, -1)], dim=-1)
        scores = functional.leaky_relu(self.scores(pairs).squeeze(-1), 0.2)
        return functional.elu(torch.softmax(scores.masked_fill(~self.mask, -1e9), dim=-1) @ h)


class DiffusionBlock(nn.Module):
    """Down, middle and up of a U-Net that removes noise, with an embedding of the time step."""

    def __init__(self, channels: int):
        super().__init__()
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.down = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.time = nn.Linear(channels, 2 * channels)
        self.middle = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.leave = nn.Conv2d(3 * channels, 3, 3, padding=1)
        self.frequencies = torch.exp(torch.linspace(0.0, -4.0, channels // 2))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The noise [N, 3, H, W] in images at time steps [N]."""
        angles = t[:, None] * self.frequencies
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        h = functional.silu(self.norm(self.enter(x)))
        low = functional.silu(self.down(h) + time[:, :, None, None])
        low = functional.interpolate(functional.silu(self.middle(low)), scale_factor=2.0)
        return self.leave(torch.cat([h, low], dim=1))


def _inference(module: nn.Module, *arguments: torch.Tensor) -> Program:
    module.eval()

    def run() -> Any:
        with torch.no_grad():
            return module(*arguments)

    return run


def _model(name: str) -> Program:
    return _inference(MODELS[name](TINY), example(name, TINY))


def _vit() -> Program:
    config = hf.ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
    )
    return _inference(hf.ViTModel(config), torch.randn(1, 3, 32, 32))


def _recurrent(kind: Callable[..., nn.Module]) -> Program:
    return _inference(kind(16, 32, num_layers=2, batch_first=True), torch.randn(2, 12, 16))


def _training(module: nn.Module, optimizer: Any, loss: Callable[[nn.Module], torch.Tensor]) -> Program:
    steps = optimizer(module.parameters(), lr=0.0)  # the parameters stay as they are

    def run() -> Any:
        steps.zero_grad()
        value = loss(module)
        value.backward()
        steps.step()
        return value.detach()

    return run


def _perceptron() -> Program:
    x, y = torch.randn(32, 16), torch.randint(4, (32,))
    module = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4))
    return _training(module, torch.optim.SGD, lambda net: functional.cross_entropy(net(x), y))


def _bert_step() -> Program:
    module, tokens = MODELS["bert"](TINY).eval(), example("bert", TINY)
    return _training(module, torch.optim.AdamW, lambda net: net(tokens)[0].square().mean())


PROGRAMS: dict[str, Callable[[], Program]] = {
    **{name: lambda name=name: _model(name) for name in MODELS},
    "vit": _vit,
    "lstm": lambda: _recurrent(nn.LSTM),
    "graph convolution": lambda: _inference(GraphNetwork(64, 256), torch.randn(64, 16)),
    "graph attention": lambda: _inference(AttentionGraph(24), torch.randn(24, 16)),
    "diffusion": lambda: _inference(DiffusionBlock(16), torch.randn(1, 3, 16, 16), torch.tensor([0.5])),
    "perceptron training": _perceptron,
    "bert training": _bert_step,
}
"""Name -> what makes the program."""

"""Six small models in which faults are planted: each gives a function without arguments that runs it once,
with weights and inputs of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

Run = Callable[[], torch.Tensor]


def _drawn(
    *shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0, seed: int = 5
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return (torch.randn(*shape, generator=generator) * scale).to(dtype)


def mlp() -> Run:
    """A perceptron with a norm and a head of probabilities."""
    x, first, second = _drawn(12, 40), _drawn(40, 24, scale=0.2), _drawn(24, 12, scale=0.2)
    bias, gain = _drawn(24), _drawn(12).abs() + 0.5

    def run() -> torch.Tensor:
        h = F.gelu(torch.addmm(bias, x, first))
        y = F.layer_norm(torch.mm(h, second), (12,), gain)
        return torch.softmax(y, -1).mul(y).sum(-1)

    return run


def convolutional() -> Run:
    """Two convolutions with a pool and a batch norm that is trained no more."""
    x, w, v = _drawn(2, 3, 12, 12), _drawn(6, 3, 3, 3, scale=0.3), _drawn(4, 6, 3, 3, scale=0.3)
    mean, variance = _drawn(6, scale=0.1), _drawn(6).abs() + 0.5

    def run() -> torch.Tensor:
        h = F.relu(F.batch_norm(F.conv2d(x, w, padding=1), mean, variance))
        h = F.max_pool2d(h, 2)
        return F.avg_pool2d(F.silu(F.conv2d(h, v)), 4).flatten(1).cumsum(1)

    return run


def attention() -> Run:
    """One head of attention with a causal mask."""
    x, wq, wk, wv = _drawn(10, 16), *(_drawn(16, 16, scale=0.3, seed=k) for k in (1, 2, 3))
    causal = torch.ones(10, 10).tril() == 0

    def run() -> torch.Tensor:
        q, k, v = torch.mm(x, wq), torch.mm(x, wk), torch.mm(x, wv)
        scores = torch.mm(q, k.t()).mul(0.25).masked_fill(causal, float("-inf"))
        return torch.mm(torch.softmax(scores, -1), v).add(x)

    return run


def recurrent() -> Run:
    """A gated recurrence over a sequence of embedded symbols."""
    table, w, u = _drawn(11, 8), _drawn(8, 16, scale=0.4), _drawn(8, 16, scale=0.4, seed=9)
    symbols = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])

    def run() -> torch.Tensor:
        embedded = F.embedding(symbols, table)
        state = torch.zeros(2, 8)
        for step in embedded.unbind(1):
            gate, new = (torch.mm(step, w) + torch.mm(state, u)).chunk(2, 1)
            gate = torch.sigmoid(gate)
            state = gate * state + (1 - gate) * torch.tanh(new)
        return state.amax(1)

    return run


def halves() -> Run:
    """A gated layer in bfloat16, with a norm by the root of the mean square."""
    x, up, down = (
        _drawn(*shape, dtype=torch.bfloat16, scale=scale)
        for shape, scale in (((16, 32), 1.0), ((32, 48), 0.3), ((48, 32), 0.3))
    )
    gate = _drawn(32, 48, dtype=torch.bfloat16, scale=0.3, seed=8)

    def run() -> torch.Tensor:
        y = x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-5).to(torch.bfloat16)
        return torch.mm(F.silu(torch.mm(y, gate)) * torch.mm(y, up), down) + x

    return run


def training() -> Run:
    """Three steps of gradient descent on a linear classifier."""
    x, w = _drawn(14, 9), _drawn(9, 5, scale=0.3)
    wanted = torch.arange(14) % 5

    def run() -> torch.Tensor:
        weights = w.clone()
        for _ in range(3):
            scores = torch.log_softmax(torch.mm(x, weights), -1)
            chosen = torch.exp(scores) - F.one_hot(wanted, 5).to(torch.float32)
            weights = weights - 0.1 * torch.mm(x.t(), chosen).div(14)
        return F.nll_loss(torch.log_softmax(torch.mm(x, weights), -1), wanted)

    return run


MODELS: dict[str, Callable[[], Run]] = {
    "mlp": mlp,
    "convolutional": convolutional,
    "attention": attention,
    "recurrent": recurrent,
    "halves": halves,
    "training": training,
}

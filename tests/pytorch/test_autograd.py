"""Derivatives: PyTorch's own formulas over portable forward and backward operators, checked by finite
differences in float64, every operator called being ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

import anychip


def drawn(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    x = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
    return x.requires_grad_()


SQUARE = drawn(3, 4)
POSITIVE = drawn(3, 4, low=0.4, high=2.0)
HEADS = tuple(drawn(1, 2, 5, 4, seed=k) for k in range(3))
TABLE = drawn(7, 3)
INDEX = torch.tensor([[1, 4, 1], [0, 6, 4]])

CASES: dict[str, tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = {
    "add": (lambda x, y: x + 2 * y, (SQUARE, drawn(4))),
    "mul": (lambda x, y: x * y, (SQUARE, drawn(3, 1))),
    "div": (lambda x, y: x / y, (SQUARE, POSITIVE)),
    "pow": (lambda x, y: x**3 + x**y, (POSITIVE, drawn(4))),
    "exp_log": (lambda x: x.exp() + x.log() + x.sqrt() + x.rsqrt(), (POSITIVE,)),
    "tanh": (torch.tanh, (SQUARE,)),
    "sigmoid": (torch.sigmoid, (SQUARE,)),
    "silu": (F.silu, (SQUARE,)),
    "relu": (lambda x: F.relu(x) + F.leaky_relu(x, 0.1) + F.hardtanh(x, -0.5, 0.5), (POSITIVE,)),
    "gelu": (F.gelu, (SQUARE,)),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), (SQUARE,)),
    "where_clamp": (lambda x: torch.where(x > 0, x, 2 * x).clamp(-0.7, 0.7), (SQUARE,)),
    "sin_cos_erf": (lambda x: x.sin() * x.cos() + torch.erf(x), (SQUARE,)),
    "sum_mean": (lambda x: x.sum(1) * x.mean(1) + x.sum(), (SQUARE,)),
    "amax": (lambda x: x.amax(1) - x.amin(0).sum(), (SQUARE,)),
    "norm": (lambda x: F.normalize(x, dim=1) + torch.linalg.vector_norm(x, 3), (POSITIVE,)),
    "softmax": (lambda x: x.softmax(1), (SQUARE,)),
    "log_softmax": (lambda x: x.log_softmax(0), (SQUARE,)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (SQUARE, drawn(4), drawn(4, seed=5))),
    "linear": (F.linear, (SQUARE, drawn(5, 4), drawn(5))),
    "bmm": (torch.bmm, (drawn(2, 3, 4), drawn(2, 4, 3))),
    "matmul_broadcast": (torch.matmul, (drawn(2, 3, 4), drawn(4, 2))),
    "attention": (F.scaled_dot_product_attention, HEADS),
    "attention_causal": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), HEADS),
    "embedding": (lambda table: F.embedding(INDEX, table), (TABLE,)),
    "index": (lambda table: table[INDEX[0], INDEX[1] % 3], (TABLE,)),
    "index_select": (lambda table: table.index_select(0, INDEX[0]), (TABLE,)),
    "cat": (lambda x, y: torch.cat([x, y, x], 1), (SQUARE, drawn(3, 2))),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y), (SQUARE, POSITIVE)),
    "mse": (lambda x, y: ((x - y) ** 2).mean(), (SQUARE, POSITIVE)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str) -> None:
    function, inputs = CASES[name]
    anychip.report(reset=True)

    def ours(*arguments: torch.Tensor) -> torch.Tensor:
        with anychip.using("strict"):
            return function(*arguments)

    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    expected = function(*(x.detach() for x in leaves))
    with anychip.using("strict"):
        result = function(*leaves)
        weights = torch.empty_like(result).fill_(1.0)
        gradients = torch.autograd.grad(result, leaves, weights)
    torch.testing.assert_close(result.detach(), expected)
    native = [x.detach().clone().requires_grad_() for x in inputs]
    oracle = torch.autograd.grad(function(*native), native, torch.ones_like(expected))
    torch.testing.assert_close(gradients, oracle, rtol=1e-7, atol=1e-9)
    assert torch.autograd.gradcheck(ours, leaves, fast_mode=True)
    assert anychip.report().launches > 0

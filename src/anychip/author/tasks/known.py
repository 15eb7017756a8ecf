"""Functions of PyTorch's that kernels are most often written for, with arguments of any size: a row is a
public name, the function, and how its arguments are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .task import Arguments, Draw, Task

FLOATING = (torch.float32, torch.float16, torch.bfloat16)
ROWS, COLUMNS = (3, 4096), (17, 1536)
SIDES = (17, 640)
"""Least and most of an extent."""


def _matrix(draw: Draw) -> tuple[int, int]:
    return draw.size(*ROWS), draw.size(*COLUMNS)


def _tensors(count: int) -> Callable[[Draw], Arguments]:
    """Matrices of one shape."""

    def drawn(draw: Draw) -> Arguments:
        shape = _matrix(draw)
        return Arguments(tuple(draw.normal(*shape) for _ in range(count)))

    return drawn


def _along_rows(draw: Draw) -> Arguments:
    return Arguments((draw.normal(*_matrix(draw)), -1))


def _layer_norm(draw: Draw) -> Arguments:
    rows, columns = _matrix(draw)
    weight, bias = draw.uniform(0.5, 1.5, columns), draw.uniform(-0.5, 0.5, columns)
    return Arguments((draw.normal(rows, columns), (columns,), weight, bias, 1e-5))


def _rms_norm(draw: Draw) -> Arguments:
    rows, columns = _matrix(draw)
    return Arguments((draw.normal(rows, columns), (columns,), draw.uniform(0.5, 1.5, columns), 1e-6))


def _product(draw: Draw) -> Arguments:
    m, n, k = draw.size(*SIDES), draw.size(*SIDES), draw.size(*SIDES)
    return Arguments((draw.normal(m, k), draw.normal(k, n)))


def _batched_product(draw: Draw) -> Arguments:
    b, m, n, k = draw.size(2, 8), draw.size(*SIDES), draw.size(*SIDES), draw.size(*SIDES)
    return Arguments((draw.normal(b, m, k), draw.normal(b, k, n)))


def _linear(draw: Draw) -> Arguments:
    m, n, k = draw.size(*SIDES), draw.size(*SIDES), draw.size(*SIDES)
    return Arguments((draw.normal(m, k), draw.normal(n, k), draw.normal(n)))


def _cross_entropy(draw: Draw) -> Arguments:
    rows, columns = _matrix(draw)
    return Arguments((draw.normal(rows, columns), draw.integers(0, columns, rows)))


def _positive(draw: Draw) -> Arguments:
    return Arguments((draw.uniform(0.01, 9.0, *_matrix(draw)),))


def _product_operations(arguments: Arguments) -> float:
    first, second = arguments.positional[:2]
    return 2.0 * math.prod(first.shape) * second.shape[-1]


def _linear_operations(arguments: Arguments) -> float:
    first, second = arguments.positional[:2]
    return 2.0 * math.prod(first.shape) * second.shape[0]


Row = tuple[Callable[..., Any], Callable[[Draw], Arguments]]

TABLE: dict[str, Row] = {
    "softmax": (torch.softmax, _along_rows),
    "log_softmax": (torch.log_softmax, _along_rows),
    "layer_norm": (F.layer_norm, _layer_norm),
    "rms_norm": (F.rms_norm, _rms_norm),
    "gelu": (F.gelu, _tensors(1)),
    "silu": (F.silu, _tensors(1)),
    "relu": (torch.relu, _tensors(1)),
    "softplus": (F.softplus, _tensors(1)),
    "tanh": (torch.tanh, _tensors(1)),
    "sigmoid": (torch.sigmoid, _tensors(1)),
    "exp": (torch.exp, _tensors(1)),
    "log": (torch.log, _positive),
    "sqrt": (torch.sqrt, _positive),
    "add": (torch.add, _tensors(2)),
    "mul": (torch.mul, _tensors(2)),
    "maximum": (torch.maximum, _tensors(2)),
    "sum": (torch.sum, _along_rows),
    "mean": (torch.mean, _along_rows),
    "amax": (torch.amax, _along_rows),
    "cumsum": (torch.cumsum, _along_rows),
    "logsumexp": (torch.logsumexp, _along_rows),
    "matmul": (torch.matmul, _product),
    "mm": (torch.mm, _product),
    "bmm": (torch.bmm, _batched_product),
    "linear": (F.linear, _linear),
    "cross_entropy": (F.cross_entropy, _cross_entropy),
    "mse_loss": (F.mse_loss, _tensors(2)),
}
"""Public name -> the function and its arguments."""

OPERATIONS: dict[str, Callable[[Arguments], float]] = {
    "matmul": _product_operations,
    "mm": _product_operations,
    "bmm": _product_operations,
    "linear": _linear_operations,
}


def task(name: str) -> Task:
    """The task of a name of the table."""
    function, draw = TABLE[name]
    source = f"PyTorch's {function.__module__}.{name}".replace("torch._VariableFunctionsClass", "torch")
    return Task(name, function, draw, source, FLOATING, differentiable=True, operations=OPERATIONS.get(name))

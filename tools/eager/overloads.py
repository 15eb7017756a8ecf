"""The forty overloads that the programs of `programs.py` call most among those that the library serves, each
as a user calls it on 16 x 16 elements. In: nothing. Out: rows with a call, and whether its schema has a
`Scalar`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from anychip.ops.schemas import overload_of

SIDE = 16


class Row(NamedTuple):
    """An overload, and a call that PyTorch dispatches to it."""

    overload: str
    call: Callable[[], Any]

    @property
    def has_scalar(self) -> bool:
        """Whether an argument of the schema is a number of any type."""
        arguments = overload_of(self.overload)._schema.arguments
        return any("number" in str(argument.type) for argument in arguments)


def rows() -> list[Row]:
    """The calls, most frequent first. In-place ones leave their tensor's values as they are."""
    aten = torch.ops.aten
    x, y = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE) + 0.5
    zero, one = torch.zeros(SIDE, SIDE), torch.ones(SIDE, SIDE)
    weight, bias = torch.rand(SIDE), torch.rand(SIDE)
    mean, variance = torch.zeros(SIDE), torch.ones(SIDE)
    image, kernel = torch.rand(1, 4, SIDE, SIDE), torch.rand(4, 4, 3, 3)
    heads = torch.rand(1, 2, SIDE, SIDE)
    numbers = torch.randint(SIDE, (SIDE,))
    places = torch.randint(SIDE, (SIDE, SIDE))
    _, means, deviations = aten.native_layer_norm(x, [SIDE], weight, bias, 1e-5)
    mask = [True, True, True]
    calls: dict[str, Callable[[], Any]] = {
        "add.Tensor": lambda: x + y,
        "addmm": lambda: torch.addmm(bias, x, y),
        "mul.Tensor": lambda: x * y,
        "add_.Tensor": lambda: x.add_(zero),
        "convolution": lambda: functional.conv2d(image, kernel, padding=1),
        "mm": lambda: torch.mm(x, y),
        "mul_.Tensor": lambda: x.mul_(one),
        "native_batch_norm": lambda: functional.batch_norm(x, mean, variance, weight, bias),
        "native_layer_norm": lambda: functional.layer_norm(x, (SIDE,), weight, bias),
        "div.Tensor": lambda: x / y,
        "lerp_.Scalar": lambda: x.lerp_(x, 0.5),
        "addcmul_": lambda: x.addcmul_(zero, y, value=0.5),
        "sqrt": lambda: torch.sqrt(x),
        "addcdiv_": lambda: x.addcdiv_(zero, y, value=-0.5),
        "hardtanh": lambda: functional.hardtanh(x, 0.0, 6.0),
        "_scaled_dot_product_flash_attention_for_cpu": lambda: functional.scaled_dot_product_attention(
            heads, heads, heads
        ),
        "pow.Tensor_Scalar": lambda: torch.pow(x, 2),
        "embedding": lambda: functional.embedding(numbers, x),
        "cat": lambda: torch.cat([x, y]),
        "mean.dim": lambda: torch.mean(x, -1),
        "rsqrt": lambda: torch.rsqrt(y),
        "gelu": lambda: functional.gelu(x),
        "relu": lambda: torch.relu(x),
        "sum.dim_IntList": lambda: torch.sum(x, -1),
        "neg": lambda: torch.neg(x),
        "sub.Tensor": lambda: x - y,
        "silu": lambda: functional.silu(x),
        "tanh": lambda: torch.tanh(x),
        "cumsum": lambda: torch.cumsum(x, -1),
        "native_layer_norm_backward": lambda: aten.native_layer_norm_backward.default(
            y, x, [SIDE], means, deviations, weight, bias, mask
        ),
        "ne.Scalar": lambda: torch.ne(x, 0),
        "gather": lambda: torch.gather(x, 1, places),
        "eq.Scalar": lambda: torch.eq(x, 0),
        "all": lambda: torch.all(x),
        "cos": lambda: torch.cos(x),
        "sin": lambda: torch.sin(x),
        "index_add": lambda: torch.index_add(x, 0, numbers, y),
        "gelu_backward": lambda: aten.gelu_backward.default(y, x),
        "embedding_dense_backward": lambda: aten.embedding_dense_backward.default(
            y, numbers, SIDE, -1, False
        ),
        "clamp": lambda: torch.clamp(x, 0.0, 1.0),
    }
    return [Row(name, call) for name, call in calls.items()]

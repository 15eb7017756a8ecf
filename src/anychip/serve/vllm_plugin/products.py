"""Products with weights of 16 bits for vLLM's linear layers, on processors whose instructions oneDNN has no
product of that type for: vLLM falls back to PyTorch there. Weights stay in 16 bits, sums are float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ...llm.packed.dense import DenseWeight, dense, dense_matmul

HALVES = (torch.bfloat16, torch.float16)


@torch.library.custom_op("anychip_vllm::product", mutates_args=())
def product(x: torch.Tensor, numbers: torch.Tensor, rows: int, bias: torch.Tensor | None) -> torch.Tensor:
    """x weight^T + bias for x [..., columns] of any floating type, numbers as a `DenseWeight` of so many rows
    has them, bias [rows]. The result is of x's type."""
    weight = DenseWeight(rows, x.shape[-1], numbers)
    given = x.reshape(-1, x.shape[-1]).float().contiguous()
    return dense_matmul(given, weight, bias).view(*x.shape[:-1], rows).to(x.dtype)


@product.register_fake
def _(x: torch.Tensor, numbers: torch.Tensor, rows: int, bias: torch.Tensor | None) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], rows))


@functools.cache
def lacks_products(dtype: torch.dtype) -> bool:
    """Whether oneDNN makes no product of this type here, so that vLLM falls back to PyTorch."""
    from vllm import _custom_ops

    try:
        _custom_ops.create_onednn_mm(torch.zeros((32, 32), dtype=dtype).t(), 1)
    except RuntimeError:
        return True
    return False


def take_over() -> None:
    """Let linear layers with such weights use `product`. Called again, it changes nothing."""
    from vllm.model_executor.layers import utils

    own: Callable[..., None] = utils.dispatch_cpu_unquantized_gemm
    if not isinstance(own, Dispatch):
        utils.dispatch_cpu_unquantized_gemm = Dispatch(own)


class Dispatch:
    """How vLLM gives a layer its product: by ours, or by vLLM's `own` choice."""

    def __init__(self, own: Callable[..., None]):
        self.own = own

    def __call__(self, layer: Any, remove_weight: bool) -> None:
        """Sets the layer's `cpu_linear`; with `remove_weight` its weight is not needed any more."""
        weight = layer.weight
        if (
            weight.is_meta
            or weight.ndim != 2
            or weight.dtype not in HALVES
            or not lacks_products(weight.dtype)
        ):
            self.own(layer, remove_weight)
            return
        made = dense(weight.detach())
        layer.cpu_linear = lambda x, weight, bias: product(x, made.numbers, made.rows, bias)
        if remove_weight:
            layer.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)

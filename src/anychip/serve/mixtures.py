"""Mixtures of experts: routers whose sums have one order for each row, and experts computed upon as they are
stored. The library's own modelling code calls both. Flows in: hidden states and routes. Flows out: hidden
states."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType, SimpleNamespace
from typing import Any

import torch

from ..llm.moe.dispatch import moe_sum
from ..llm.packed.dense import dense
from ..llm.packed.experts import Experts, expert_matmul
from ..llm.packed.rounding import gate_and_round
from ..llm.packed.weights import PackedWeight
from .modules import product, rounded, with_names


def is_experts(module: torch.nn.Module) -> bool:
    """Whether a module of the library holds the matrices of all experts of a layer."""
    return all(getattr(getattr(module, name, None), "ndim", 0) == 3 for name in ("gate_up_proj", "down_proj"))


def is_router(module: torch.nn.Module) -> bool:
    """Whether a module chooses experts."""
    return type(module).__name__.lower().endswith("topkrouter")


def replace_router(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Let a router's own code run on a product whose rows do not depend on each other. `weight` [experts,
    width] and `bias` [experts] are floating."""
    kept = dense(weight.float())
    own_bias = None if bias is None else bias.float()

    def linear(x: torch.Tensor, _weight: torch.Tensor, _bias: torch.Tensor | None = None) -> torch.Tensor:
        return product(x, kept, own_bias)

    module.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
    if own_bias is not None:
        module.bias = torch.nn.Parameter(own_bias, requires_grad=False)
    functional = SimpleNamespace(**{**vars(torch.nn.functional), "linear": linear})
    module.forward = MethodType(with_names(type(module).forward, {"F": functional}), module)


def replace_experts(module: Any, gate_up: Experts, down: Experts, activation: str | None) -> None:
    """Compute a layer's experts on matrices as they are stored. `activation` names the gate's function among
    the kernel's, where gate and up lie one behind the other."""
    for name in ("gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias"):
        module._parameters.pop(name, None)
    module.matrices = gate_up, down
    module.forward = MethodType(
        _forward(activation if isinstance(down.weight, PackedWeight) else None), module
    )


def _forward(activation: str | None) -> Callable[..., torch.Tensor]:
    def forward(self: Any, x: torch.Tensor, ids: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        gate_up, down = self.matrices
        tokens, chosen = ids.shape
        routes = ids.reshape(-1).to(torch.int32)
        given = rounded(x) if isinstance(gate_up.weight, PackedWeight) else x.contiguous()
        both = expert_matmul(given, gate_up, routes, chosen)
        if activation is not None:
            inner: Any = gate_and_round(both, activation)
        else:
            inner = self._apply_gate(both)
            inner = rounded(inner) if isinstance(down.weight, PackedWeight) else inner.contiguous()
        out = expert_matmul(inner, down, routes, 1)
        return moe_sum(out.view(tokens, chosen, -1), shares.float())

    return forward

"""Ring attention on the CPU. PyTorch's context parallelism knows the attention operators of CUDA; this puts
the CPU's beside them, with PyTorch's own ring around it. Flows in: the import of PyTorch's module. Flows
out: two rows in its table of operators, once."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import logging
import sys
from types import ModuleType
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

logger = logging.getLogger(__name__)

MODULE = "torch.distributed.tensor.experimental._context_parallel._attention"
FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
SEQUENCE = 2
"""The dimension of [batch, heads, length, width] that ranks have parts of."""


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds the module as everyone else does, and adds to it once it has run."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def run(module: ModuleType) -> None:
                execute(module)
                _add(module)

            loader.exec_module = run
        return spec


@functools.cache
def settle() -> None:
    """Add the CPU's attention to PyTorch's context parallelism, now or when it is imported. Where a PyTorch
    has it already, or keeps its tables elsewhere, nothing is added."""
    if not torch.distributed.is_available():
        return
    if MODULE in sys.modules:
        _add(sys.modules[MODULE])
    else:
        sys.meta_path.insert(0, _AfterImport())


def _add(module: Any) -> None:
    table = getattr(module, "custom_ops", None)
    if table is None or FORWARD in table or not hasattr(module, "_templated_ring_attention"):
        logger.info("PyTorch's context parallelism is left as it is")
        return
    table[FORWARD] = functools.partial(_served, module, _forward)
    table[BACKWARD] = functools.partial(_served, module, _backward)


# ---- the ring --------------------------------------------------------------------------------------


def _served(module: Any, ring: Any, call: Any, arguments: Any, keywords: Any) -> Any:
    """An attention call of distributed tensors: their parts go around the ring."""
    distributed = module.DTensor
    spread = [x for x in (*arguments, *keywords.values()) if isinstance(x, distributed)]
    mesh, places = spread[0].device_mesh, spread[0].placements
    if mesh.ndim != 1 or any(x.placements != (module.Shard(SEQUENCE),) for x in spread):
        raise NotImplementedError(
            f"{call}: ring attention takes [batch, heads, length, width] cut along the length over one mesh "
            f"dimension, got {[x.placements for x in spread]}; cut heads and batch outside it"
        )
    with torch.no_grad():
        parts, named = tree_map_only(distributed, lambda x: x.to_local(), (arguments, keywords))
        results = ring(module, mesh.get_group(), *parts, **named)
        return tuple(distributed.from_local(x, mesh, places, run_check=False) for x in results)


def _forward(
    module: Any,
    group: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> Any:
    if attn_mask is not None:
        raise NotImplementedError("ring attention takes no mask: pass is_causal=True")
    return module._templated_ring_attention(
        group, SEQUENCE, FORWARD, query, key, value, is_causal, dropout_p=dropout_p, scale=scale
    )


def _backward(
    module: Any,
    group: Any,
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> Any:
    return module._templated_ring_attention_backward(
        group,
        SEQUENCE,
        BACKWARD,
        grad_out,
        "grad_out",
        query,
        key,
        value,
        out,
        logsumexp,
        is_causal,
        dropout_p=dropout_p,
        scale=scale,
    )

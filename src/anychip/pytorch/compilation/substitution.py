"""The pass over Inductor's graph that gives nodes to the operator library. Flows in: the graph after
gradients and decompositions. Flows out: the same graph, with `aten.mm` and its kin replaced where ours are
the faster ones for the dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from . import products

FASTER: dict[str, frozenset[torch.dtype]] = {
    name: frozenset({torch.float32, torch.float16}) for name in products.SCHEMAS
}
"""Operator -> the dtypes in which the library was measured ahead of PyTorch's kernel on CPUs
(docs/performance.md)."""

SMALLEST = 1 << 16
"""Multiplications below which a product is left to PyTorch: calling costs more than computing."""


class Substitution(CustomGraphPass):
    """Replaces nodes in place. Its `uuid` is part of the key of Inductor's cache."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        for node in list(graph.nodes):
            if node.op == "call_function" and _is_ours(node):
                node.target = getattr(torch.ops.anychip, _name(node)).default
        graph.lint()

    def uuid(self) -> Any:
        folder = Path(__file__).parent
        return get_hash_for_files((__file__, str(folder / "products.py")))


def _name(node: torch.fx.Node) -> str:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        return ""
    return target._schema.name.removeprefix("aten::")


def _is_ours(node: torch.fx.Node) -> bool:
    name = _name(node)
    if name not in FASTER or node.target is not getattr(torch.ops.aten, name).default:
        return False
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.device.type != "cpu" or value.dtype not in FASTER[name]:
        return False
    left = node.args[-2]
    inner = left.meta["val"].shape[-1] if isinstance(left, torch.fx.Node) else 1
    work = value.numel() * inner
    return not isinstance(work, int) or work >= SMALLEST

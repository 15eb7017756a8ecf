"""The pass over Inductor's graph that gives nodes to the operator library. Flows in: the graph after
gradients and decompositions. Flows out: the same graph, with `aten.mm` and its kin replaced where ours are
the faster ones for the dtype."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from . import operators

FASTER: dict[str, frozenset[torch.dtype]] = {
    name: frozenset({torch.float32, torch.float16} if name.endswith("mm") else {torch.float32})
    for name in operators.FUNCTIONS
}
"""Operator -> the dtypes in which the library was measured ahead of PyTorch's kernel on CPUs
(docs/performance.md)."""

SMALLEST = 1 << 16
"""Multiplications below which a product is left to PyTorch: calling costs more than computing."""


EXTERN = frozenset({"convolution", "convolution_backward", "prims::inductor_seed", "prims::inductor_seeds"})
"""Operators for which Inductor calls PyTorch's kernels without counting them among its fallbacks."""


class Substitution(CustomGraphPass):
    """Replaces nodes in place. Its `uuid` is part of the key of Inductor's cache."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        smallest = 0 if _may_be_replayed(graph) else SMALLEST
        for node in list(graph.nodes):
            if node.op == "call_function" and _is_ours(node, smallest):
                node.target = getattr(torch.ops.anychip, _name(node)).default
        graph.lint()

    def uuid(self) -> Any:
        folder = Path(__file__).parent
        return get_hash_for_files((__file__, str(folder / "operators.py")))


def _name(node: torch.fx.Node) -> str:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        return ""
    return target._schema.name.removeprefix("aten::")


def _may_be_replayed(graph: torch.fx.Graph) -> bool:
    """Whether, with products of every size ours, nothing but launches is left of a graph: its shapes are
    static, and Inductor generates kernels for the rest. Calls cost nothing then (see `replay`)."""
    for node in graph.nodes:
        values = node.meta.get("val")
        for value in values if isinstance(values, tuple | list) else (values,):
            if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
                return False
            if isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape):
                return False
        if isinstance(node.target, torch._ops.OpOverload) and not (
            _is_ours(node, 0) or _has_generated_code(node.target)
        ):
            return False
    return True


def _has_generated_code(target: torch._ops.OpOverload) -> bool:
    """Whether Inductor makes kernels of its own for an operator, and calls nobody's."""
    from torch._inductor import lowering

    name = target._schema.name.removeprefix("aten::")
    lowered = lowering.lowerings.get(target)
    is_call = lowered is None or getattr(lowered, "_is_fallback_handler", False)
    return not is_call and name not in operators.FUNCTIONS and name not in EXTERN


def _is_ours(node: torch.fx.Node, smallest: int) -> bool:
    """Whether the library takes a node; `smallest` is the work from which it takes products."""
    name = _name(node)
    if name not in FASTER or node.target is not getattr(torch.ops.aten, name).default:
        return False
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    if not isinstance(value, torch.Tensor) or value.device.type != "cpu" or value.dtype not in FASTER[name]:
        return False
    if _argument(node, "dropout_p"):
        return False
    return not name.endswith("mm") or _work(node, value) >= smallest


def _argument(node: torch.fx.Node, name: str) -> Any:
    """An argument of an operator's call by its name in the schema; None where there is none."""
    assert isinstance(node.target, torch._ops.OpOverload)
    names = [argument.name for argument in node.target._schema.arguments]
    return dict(zip(names, node.args)).get(name, node.kwargs.get(name))


def _work(node: torch.fx.Node, product: torch.Tensor) -> float:
    """Multiplications of a product; endless where its size is not known yet."""
    left = node.args[-2]
    work = product.numel() * (left.meta["val"].shape[-1] if isinstance(left, torch.fx.Node) else 1)
    return work if isinstance(work, int) else math.inf

"""The pass over Inductor's graph that gives nodes to the operator library. Flows in: the graph after
gradients and decompositions. Flows out: the same graph, with `aten.mm` and its kin replaced where ours are
the faster ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from .. import graphs
from . import choice, operators

EXTERN = frozenset({"convolution_backward", "prims::inductor_seed", "prims::inductor_seeds"})
"""Operators for which Inductor calls PyTorch's kernels without counting them among its fallbacks."""

SOURCES = ("substitution.py", "choice.py", "operators.py", "decompositions.py", "precision.py")
"""Files whose text decides what a graph becomes."""


class Substitution(CustomGraphPass):
    """Replaces nodes in place. Its `uuid` is part of the key of Inductor's cache."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        replayed = _may_be_replayed(graph)
        left: dict[str, str] = {}
        for node in list(graph.nodes):
            if node.op != "call_function":
                continue
            if choice.is_ours(node, replayed):
                node.target = getattr(torch.ops.anychip, choice.name_of(node)).default
            elif choice.name_of(node) in choice.FASTER:
                left[choice.name_of(node)] = choice.why_not(node)
        graphs.left(left)
        graph.lint()

    def uuid(self) -> Any:
        """A digest of the sources that decide what is replaced: part of the key of Inductor's cache of
        graphs."""
        folder = Path(__file__).parent
        return get_hash_for_files(tuple(str(folder / name) for name in SOURCES))


def _may_be_replayed(graph: torch.fx.Graph) -> bool:
    """Whether, with small operators ours, too, nothing but launches is left of a graph: its shapes are
    static, and Inductor generates kernels for the rest. Calls cost nothing then (see `replay`)."""
    for node in graph.nodes:
        values = node.meta.get("val")
        for value in values if isinstance(values, tuple | list) else (values,):
            if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
                return False
            if isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape):
                return False
        if isinstance(node.target, torch._ops.OpOverload) and not (
            choice.is_ours(node, True) or _has_generated_code(node.target)
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

"""Matrix products of the operator library as PyTorch operators of their own, `torch.ops.anychip.mm` and
the like, so that a compiled graph can hold them: PyTorch's own names would be taken by its own kernels.
Flows in: the library's functions. Flows out: registered operators, with their shapes for tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...ops.linalg.matmul import addmm, baddbmm, bmm, mm

SCHEMAS: dict[str, str] = {
    "mm": "mm(Tensor self, Tensor mat2) -> Tensor",
    "bmm": "bmm(Tensor self, Tensor mat2) -> Tensor",
    "addmm": "addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "baddbmm": "baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)"
    " -> Tensor",
}
"""ATen's name -> the schema under our namespace, which is the same."""

_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "mm": mm,
    "bmm": bmm,
    "addmm": addmm,
    "baddbmm": baddbmm,
}

_library = torch.library.Library("anychip", "FRAGMENT")


def _define(name: str, schema: str) -> None:
    implementation = _FUNCTIONS[name]
    like = getattr(torch.ops.aten, name).default

    def compute(*arguments: Any, **keywords: Any) -> torch.Tensor:
        return implementation(*arguments, **keywords)

    def shape(*arguments: Any, **keywords: Any) -> torch.Tensor:
        return like(*arguments, **keywords)

    _library.define(schema)
    _library.impl(name, compute, "CPU")
    _library.impl(name, compute, "CUDA")
    _library.impl(name, shape, "Meta")


for _name, _schema in SCHEMAS.items():
    _define(_name, _schema)

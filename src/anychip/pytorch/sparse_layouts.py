"""Which of PyTorch's operators of sparse layouts are served, under which dispatch keys. Flows in: a selection
of operators. Flows out: functions to register, counted as others are; what they refuse goes to PyTorch. The
kernels are `anychip.science.sparse`'s, which is imported at the first call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch

from ..ops.directory import directory
from . import statistics

Function = Callable[..., Any]
ROWS, COORDINATES = "SparseCsrCPU", "SparseCPU"
SERVED = (
    ("mm", ROWS, "mm", "mm"),
    ("mm", COORDINATES, "mm", "mm"),
    ("addmm", ROWS, "addmm", "addmm"),
    ("addmm", COORDINATES, "addmm", "addmm"),
    ("sparse_sampled_addmm", ROWS, "sampled_addmm", "mm"),
    ("_to_dense", ROWS, "to_dense", "copy_"),
    ("_to_dense", COORDINATES, "to_dense", "copy_"),
    ("_to_sparse_csr", COORDINATES, "to_sparse_csr", "copy_"),
    ("_to_sparse", ROWS, "to_sparse", "copy_"),
    ("_coalesce", COORDINATES, "coalesce", "copy_"),
    ("_sparse_softmax", COORDINATES, "softmax", "_softmax"),
    ("_sparse_log_softmax", COORDINATES, "log_softmax", "_log_softmax"),
)
"""Overload, dispatch key, function of `science.sparse.layouts`, and the operator of dense tensors with which
a policy selects it."""

OPERATOR = "sparse"
"""As what they are counted."""
KERNELS = frozenset(
    {"multiply_kernel", "sample_kernel", "merge_kernel", "dense_kernel", "softmax_rows_kernel", "sum_kernel"}
)
"""The kernels that compute their results."""


@functools.cache
def _served(overload: str, key: str, name: str, fall: Function) -> Function:
    def call(*arguments: Any, **keywords: Any) -> Any:
        function = getattr(import_module("anychip.science.sparse.layouts"), name)
        return function(*arguments, **keywords)

    layout = "COO" if key == COORDINATES else "CSR"
    return statistics.counted(call, statistics.entry(OPERATOR, f"{overload} ({layout})"), fall)


def planned(
    selected: frozenset[str], fallen: Callable[[str, str], Function]
) -> Iterator[tuple[str, str, Function]]:
    """Overload, key and function of what a selection of operators has for sparse layouts. `fallen` gives
    PyTorch's own function of an overload and a key."""
    known = directory()
    for overload, key, name, dense in SERVED:
        record = known.get(dense)
        if record is None or record.operator not in selected:
            continue
        if torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{overload}", key):
            yield overload, key, _served(overload, key, name, fallen(overload, key))

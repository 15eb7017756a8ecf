"""Forward and backward operators that share a workspace in a format of their own. Flows in: a backward call,
whoever made the workspace. Flows out: the backward operator of that maker, under every policy and under none:
a graph made under one policy may be walked under another."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch

from .overrides import Overrides

Backward = Callable[..., Any]

PAIRS: dict[str, tuple[str, str, str]] = {
    "mkldnn_rnn_layer_backward": ("anychip.ops.activation.lstm", "is_ours", "rnn_layer_backward"),
}
"""A backward overload -> a module of the library, imported at the first call, and the names of two functions
in it: whether the library's forward operator made a call's workspace, and its own backward operator.
What other pairs share (indices, masks, statistics, logarithms of sums) is in PyTorch's format."""

_kept: list[Overrides] = []
"""Registrations that outlive every policy."""


@functools.cache
def settle() -> None:
    """Put a choice by workspace beneath whatever a policy registers, once: PyTorch's own kernel cannot read
    ours, nor say so."""
    functions = [
        (name, "CPU", _by_workspace(name, *pair))
        for name, pair in PAIRS.items()
        if torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "CPU")
    ]
    _kept.append(Overrides(functions))


def _by_workspace(name: str, module: str, is_ours: str, ours: str) -> Backward:
    kernel = torch.library.get_kernel(f"aten::{name}", "CPU")
    keyset = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def backward(*arguments: Any) -> Any:
        library = importlib.import_module(module)
        if getattr(library, is_ours)(*arguments):
            return getattr(library, ours)(*arguments)
        return kernel.call_boxed(keyset, *arguments)

    return backward

"""Functions of ours in the place of PyTorch's kernels. Flows in: ATen overloads, dispatch keys and functions.
Flows out: registrations in PyTorch's dispatcher, which last until they are removed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from torch.library import Library

OF_PYTORCH = (
    "(?s).*Overriding a previously registered kernel.*",
    "(?s).*other operators may also be overridden.*",
)
"""What PyTorch warns of where a kernel takes the place of its own."""


class Overrides:
    """Registered functions, each under an ATen overload ("add.Tensor") and a dispatch key ("CPU").
    PyTorch never lets a registered function go, so that callers make theirs once."""

    def __init__(self, functions: Iterable[tuple[str, str, Callable[..., Any]]]):
        self._library: Any = Library("aten", "IMPL")
        with warnings.catch_warnings():
            for message in OF_PYTORCH:
                warnings.filterwarnings("ignore", message=message)
            for overload, key, function in functions:
                self._library.impl(overload, function, key)

    def remove(self) -> None:
        """Give the overloads back to what was registered before."""
        self._library._destroy()

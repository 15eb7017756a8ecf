"""How a registry finds its records: modules of the library are imported, all or those that are called, and
add their own."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable

import torch
from torch.utils._python_dispatch import _disable_current_modes

from .kernel_source import quickly


@functools.cache
def import_all(package: str) -> None:
    """Import every module below a package, such as "anychip.ops", once in a process."""
    found = importlib.import_module(package)
    with quickly():
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)


def import_in_a_call(modules: Iterable[str]) -> None:
    """Import modules of the library while an operator is called. Modes, and the kind of tensor that PyTorch
    makes at present, are the caller's: what is imported does not see them."""
    with torch.inference_mode(False), _disable_current_modes(), quickly():
        for module in modules:
            importlib.import_module(module)

"""How a registry finds its records: every module of the library is imported, and adds its own."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from .kernel_source import quickly


@functools.cache
def import_all(package: str) -> None:
    """Import every module below a package, such as "anychip.ops", once in a process."""
    found = importlib.import_module(package)
    with quickly():
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)

"""What the library serves, known without importing it. Flows in: the library, imported once for each state of
its files. Flows out: for each overload its operator, domain and variants, and the modules that are imported
when it is first called; the next process reads a list of these and no kernel's source."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..triton_backend.fingerprint import remembered
from . import host_draw, registry
from .modules import import_in_a_call
from .registry import Operator, Overload
from .schemas import Variant, variants

TAKEN_BEFORE = (host_draw.HOST_DRAW,)
"""Kernels of PyTorch's that the library calls: they are taken before ours are put in their places, thus
before the modules that call them are imported."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One functional overload: the operator that serves it, that operator's domain, the modules that make its
    record, and the overload itself with its variants, whether or not PyTorch has kernels of their own."""

    operator: str
    domain: str
    modules: tuple[str, ...]
    variants: tuple[Variant, ...]


def directory() -> dict[str, Entry]:
    """Every functional overload that is served, those that were registered from elsewhere included."""
    listed = _listed()
    others = {name: _entry(name) for name in registry.registered() if name not in listed}
    return {**listed, **others}


def entry(overload: str) -> Entry | None:
    """The entry of one overload, None where it is not served."""
    found = _listed().get(overload)
    return _entry(overload) if found is None and overload in registry.registered() else found


def load(overload: str) -> tuple[Operator, Overload]:
    """The record that serves an overload, and the overload, after importing what makes them."""
    known = _listed().get(overload)
    import_in_a_call(known.modules if known else ())
    return registry.registered()[overload]


@functools.cache
def _listed() -> Mapping[str, Entry]:
    text = remembered(f"operators-{torch.__version__}", (Path(__file__).parent,), _written)
    return {overload: _read(row) for overload, row in json.loads(text).items()}


def _written() -> str:
    return json.dumps({name: _row(_entry(name)) for name in registry.overloads() if registry.homes(name)})


def _entry(overload: str) -> Entry:
    """The entry of an overload whose record is there."""
    operator, _ = registry.registered()[overload]
    return Entry(operator.name, operator.domain, registry.homes(overload), variants(overload))


def _row(entry: Entry) -> list[Any]:
    made = [(variant.name, variant.kind, variant.out_names) for variant in entry.variants]
    return [entry.operator, entry.domain, entry.modules, made]


def _read(row: list[Any]) -> Entry:
    operator, domain, modules, made = row
    return Entry(
        operator,
        domain,
        tuple(modules),
        tuple(Variant(name, kind, tuple(out_names)) for name, kind, out_names in made),
    )

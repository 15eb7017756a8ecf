"""PyTorch's schemas as data: binds an overload's arguments to an implementation's parameters, and
derives the in-place and `out=` variants of a functional overload. Nothing is executed here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from .errors import RegistryError

Schema = torch._C.FunctionSchema


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(torch._C._dispatch_get_all_op_names())


def exists(name: str) -> bool:
    """Whether this PyTorch has the ATen overload `name` ("add.Tensor", "exp")."""
    return f"aten::{name}" in _names()


def overload_of(name: str) -> torch._ops.OpOverload:
    """The ATen overload `name` ("add.Tensor", "exp"); RegistryError if PyTorch knows none."""
    packet_name, _, overload_name = name.partition(".")
    try:
        packet = getattr(torch.ops.aten, packet_name)
        return getattr(packet, overload_name or "default")
    except AttributeError:
        raise RegistryError(f"PyTorch {torch.__version__} has no overload aten::{name}") from None


def binder(text: str, function: Callable[..., Any]) -> tuple[str, Callable[..., Any], tuple[str, ...]]:
    """From `"name"` or `"name(argument, ...)"`: the overload's name, a callable that takes the schema's
    arguments and calls `function` with the listed ones in the listed order, and that order."""
    name, _, listed = text.partition("(")
    schema = overload_of(name)._schema
    names = [argument.name for argument in schema.arguments]
    chosen = [word.strip() for word in listed.rstrip(")").split(",")] if listed else names
    unknown = [word for word in chosen if word not in names]
    if unknown:
        raise RegistryError(f"aten::{name} has no argument {unknown}; its schema is {schema}")
    if chosen == names and not any(argument.has_default_value() for argument in schema.arguments):
        return name, function, tuple(chosen)
    defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}

    def bound(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        given = dict(zip(names, arguments, strict=False))
        given.update(keywords)
        return function(*(given[word] if word in given else defaults[word] for word in chosen), out=out)

    bound.__name__ = name
    return name, bound, tuple(chosen)


@dataclass(frozen=True, slots=True)
class Variant:
    """An overload derived from a functional one. `out_names` are the arguments that are written."""

    name: str
    kind: Literal["functional", "inplace", "out"]
    out_names: tuple[str, ...] = ()


def _plain(schema: Schema) -> list[tuple[str, str]]:
    """Names and types of the arguments that are only read."""
    return [(a.name, str(a.type)) for a in schema.arguments if not (a.alias_info and a.is_out)]


@functools.cache
def _schemas(packet: str) -> tuple[Schema, ...]:
    """The schemas of all overloads of an operator, none for a name that PyTorch does not know."""
    return tuple(torch._C._jit_get_schemas_for_operator(f"aten::{packet}"))


def variants(name: str) -> tuple[Variant, ...]:
    """The overload itself and what PyTorch derives from it: `add_.Tensor` and `add.out`."""
    overload = overload_of(name)
    found = [Variant(name, "functional")]
    packet_name, _, _overload_name = name.partition(".")
    if packet_name.endswith("_") or any(argument.is_out for argument in overload._schema.arguments):
        return tuple(found)
    wanted = _plain(overload._schema)
    for schema in _schemas(packet_name + "_"):
        same = [(a.name, str(a.type)) for a in schema.arguments] == wanted
        if same and schema.arguments[0].alias_info and schema.arguments[0].alias_info.is_write:
            suffix = "." + schema.overload_name if schema.overload_name else ""
            found.append(Variant(packet_name + "_" + suffix, "inplace", ("self",)))
    for schema in _schemas(packet_name):
        outs = [a for a in schema.arguments if a.is_out]
        if outs and _plain(schema) == wanted and len(outs) == len(overload._schema.returns):
            suffix = "." + schema.overload_name if schema.overload_name else ""
            found.append(Variant(packet_name + suffix, "out", tuple(a.name for a in outs)))
    return tuple(found)

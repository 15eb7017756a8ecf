"""What a call's arguments look like to the choice of a kernel: exactly, to find a choice that was made
before in a few microseconds, and as a class, which calls of about the same size and layout share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...measurements.size_class import exponent, parameter

DIMENSIONS_NAMED = 6
"""Dimensions whose class of size stands in a signature; of further ones only their number does."""

SPECIAL_FLOATS = frozenset({0.0, 0.5, -0.5, 1.0, -1.0, 2.0, 3.0})
"""Numbers for which operators have shortcuts; others are all alike."""


def exact(arguments: tuple[Any, ...], keywords: Mapping[str, Any], written: frozenset[str]) -> Any:
    """A key that is equal for calls alike in dtypes, shapes, strides and parameters. `written` are the
    keywords that name results."""
    key = tuple([_exact(x) for x in arguments])
    if keywords:
        return key, tuple([(name, _exact(x)) for name, x in keywords.items() if name not in written])
    return key


def _exact(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.dtype, x.shape, x.stride()
    if type(x) is float:
        return x if x in SPECIAL_FLOATS else float
    if type(x) is list or type(x) is tuple:
        return tuple([_exact(one) for one in x])
    if isinstance(x, torch.Generator):
        return torch.Generator
    return x


def class_of(arguments: tuple[Any, ...], keywords: Mapping[str, Any], written: frozenset[str]) -> str:
    """The class of a call as text, e.g. "float32[12,10]c 0": dtype, sizes rounded up to powers of two and
    layout of each tensor, and the parameters."""
    words = [_class(x) for x in arguments]
    words += [f"{name}={_class(x)}" for name, x in sorted(keywords.items()) if name not in written]
    return " ".join(words)


def _class(x: Any) -> str:
    if isinstance(x, torch.Tensor):
        return tensor_class(x)
    if isinstance(x, bool) or x is None:
        return str(x)
    if isinstance(x, int):
        return parameter(x)
    if isinstance(x, float):
        return f"{x:g}" if x in SPECIAL_FLOATS else "float"
    if isinstance(x, list | tuple):
        return f"({','.join(_class(one) for one in x)})"
    if isinstance(x, torch.Generator):
        return "generator"
    return str(x).removeprefix("torch.")


def tensor_class(x: torch.Tensor) -> str:
    """Dtype, exponents of the sizes, and layout of a tensor."""
    sizes = ",".join(str(exponent(size)) for size in x.shape[-DIMENSIONS_NAMED:])
    further = f"+{x.ndim - DIMENSIONS_NAMED}:" if x.ndim > DIMENSIONS_NAMED else ""
    return f"{dtype_name(x.dtype)}[{further}{sizes}]{layout(x)}"


def layout(x: torch.Tensor) -> str:
    """ "c" contiguous; "b" broadcast (a stride of 0); "t" some dimension but the last is the contiguous
    one; "s" none is."""
    if x.is_contiguous():
        return "c"
    steps = [stride for size, stride in zip(x.shape, x.stride()) if size > 1]
    if 0 in steps:
        return "b"
    if 1 in steps:
        return "c2" if steps[-1] == 1 else "t"
    return "s"


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype's name without its module."""
    return str(dtype).removeprefix("torch.")


def tensors_of(arguments: tuple[Any, ...]) -> list[torch.Tensor]:
    """The tensors among positional arguments, those in lists too."""
    found = []
    for x in arguments:
        if isinstance(x, torch.Tensor):
            found.append(x)
        elif isinstance(x, list | tuple):
            found += [one for one in x if isinstance(one, torch.Tensor)]
    return found

"""What overloads that are no pointwise functions do with complex numbers. Dispatch asks here where an
overload's own implementation refuses them; most entries are made in two ways. `by_parts` runs an operator
that is linear with real coefficients (a sum, a padding) on real and on imaginary parts; `as_wholes` runs one
that only moves numbers on pairs taken as 64-bit numbers."""

from __future__ import annotations

from typing import Any

import torch

from .complex_pointwise import PARTS
from .errors import NotServed, RegistryError
from .memory.copy import copy_
from .registry import Implementation, note_home
from .schemas import overload_of

COMPLEX = {part: whole for whole, part in PARTS.items()}

_forms: dict[str, Implementation] = {}


BY_PARTS = frozenset(
    {
        "_index_put_impl_",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "avg_pool2d",
        "avg_pool3d",
        "col2im",
        "cumsum",
        "im2col",
        "index_add",
        "index_fill_.int_Scalar",
        "index_fill_.int_Tensor",
        "masked_fill.Scalar",
        "masked_fill.Tensor",
        "mean",
        "mean.dim",
        "nan_to_num",
        "put_",
        "scatter.value",
        "scatter_add",
        "sum",
        "sum.dim_IntList",
        "trace",
        "where.self",
    }
)
"""Overloads that are linear with real coefficients in all their tensors of numbers, or choose among them."""

AS_WHOLES = frozenset(
    {
        "_stack",
        "cat",
        "channel_shuffle",
        "embedding",
        "flip",
        "gather",
        "index.Tensor",
        "index_copy",
        "index_select",
        "masked_scatter_",
        "masked_select",
        "narrow_copy",
        "native_channel_shuffle",
        "pixel_shuffle",
        "pixel_unshuffle",
        "reflection_pad1d",
        "reflection_pad2d",
        "reflection_pad3d",
        "repeat_interleave.Tensor",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "roll",
        "scatter.src",
        "take",
        "tril",
        "triu",
    }
)
"""Overloads that move numbers, whatever they are, and put zeros between them."""

VALUE = "value"
"""The name, in PyTorch's schemas, of a number that is written among the elements: it has parts as they do."""


def serve_complex(name: str, implementation: Implementation) -> None:
    """Let `implementation` take the calls of ATen overload `name` that have a complex argument."""
    if name in _forms:
        raise RegistryError(f"complex arguments of aten::{name} are served twice; remove one of the entries")
    _forms[name] = implementation
    note_home(name)


def form_of(name: str, implementation: Implementation) -> Implementation | None:
    """What takes the calls with complex arguments of the overload `name`, which `implementation` serves
    otherwise; None if nothing does."""
    if name in _forms:
        return _forms[name]
    if name in BY_PARTS:
        return by_parts(name, implementation)
    return as_wholes(name, implementation) if name in AS_WHOLES else None


def is_complex(x: Any) -> bool:
    """Whether an argument is, or has in it, a complex tensor or number or type."""
    if isinstance(x, torch.Tensor):
        return x.is_complex()
    if isinstance(x, (list, tuple)):
        return any(is_complex(y) for y in x)
    return isinstance(x, complex) or (isinstance(x, torch.dtype) and x.is_complex)


def parts_of(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of real and imaginary parts."""
    if x.dtype not in PARTS:
        raise NotServed("complex numbers", f"dtype {x.dtype} is not served")
    parts = torch.view_as_real(x)
    return parts[..., 0], parts[..., 1]


def plain(x: torch.Tensor) -> torch.Tensor:
    """The tensor, copied where it is only marked as a conjugate."""
    return copy_(torch.empty(x.shape, dtype=x.dtype, device=x.device), x) if x.is_conj() else x


def whole(real: torch.Tensor, imaginary: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """A complex tensor of two real ones (`out`, once it holds it)."""
    made = torch.empty(real.shape, dtype=COMPLEX[real.dtype], device=real.device)
    for target, source in zip(parts_of(made), (real, imaginary), strict=True):
        copy_(target, source)
    return made if out is None else delivered(made, out)


def delivered(result: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """`out`, resized, once it holds the result."""
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


# ---- operators that keep real and imaginary parts apart ------------------------------------------------


def _part(x: Any, k: int, name: str) -> Any:
    """The real (k = 0) or imaginary part of the argument `name`."""
    if isinstance(x, torch.Tensor):
        if x.is_complex():
            return parts_of(x)[k]
        return x.new_zeros(()).expand(x.shape) if k and x.is_floating_point() else x
    if isinstance(x, (list, tuple)):
        return [_part(y, k, name) for y in x]
    if isinstance(x, torch.dtype):
        return PARTS.get(x, x)
    if name == VALUE:
        return complex(x).imag if k else complex(x).real
    if isinstance(x, complex):
        raise NotServed("complex numbers", f"a complex {name} is not served")
    return x


def by_parts(name: str, function: Implementation) -> Implementation:
    """`function`, which serves overload `name` of real tensors, on real and on imaginary parts."""
    schema = overload_of(name)._schema
    names = [argument.name for argument in schema.arguments]
    writes = any(a.alias_info and a.alias_info.is_write and not a.is_out for a in schema.arguments)

    def parted(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        results = []
        for k in (0, 1):
            given = [_part(x, k, word) for x, word in zip(arguments, names, strict=False)]
            results.append(function(*given, **{word: _part(x, k, word) for word, x in keywords.items()}))
        if writes:
            return arguments[0]
        if isinstance(results[0], tuple):
            return tuple(whole(r, i) for r, i in zip(*results, strict=True))
        return whole(*results, out=out)

    return parted


# ---- operators that move numbers -----------------------------------------------------------------------


def _as_real(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.view(torch.float64) if x.is_complex() else x
    return [_as_real(y) for y in x] if isinstance(x, (list, tuple)) else x


def _movable(x: Any) -> bool:
    """Whether an argument can be taken as a whole: a complex64 tensor, an index, anything but a value."""
    if isinstance(x, torch.Tensor):
        return x.dtype == torch.complex64 or not (x.is_complex() or x.is_floating_point())
    if isinstance(x, (list, tuple)):
        return all(_movable(y) for y in x)
    return not isinstance(x, (float, complex))


def as_wholes(name: str, function: Implementation) -> Implementation:
    """`function`, which moves real numbers for overload `name`, on complex ones: pairs of 32-bit parts are
    moved as 64-bit numbers, others part by part."""
    parted = by_parts(name, function)

    def moved(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        if not all(_movable(x) for x in (*arguments, *keywords.values())):
            return parted(*arguments, out=out, **keywords)
        given = [_as_real(x) for x in arguments]
        result = function(*given, **{word: _as_real(x) for word, x in keywords.items()})
        if result is given[0]:
            return arguments[0]
        made = result.view(torch.complex64)
        return made if out is None else delivered(made, out)

    return moved

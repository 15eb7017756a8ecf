"""What it costs that a call of an overload goes through Python, on this machine and for arguments like those
at hand. Flows in: an overload and the arguments of one call. Flows out: seconds by which a call that is
registered is longer than one that PyTorch's dispatcher takes to its own kernel.

The cost is that of turning the arguments into Python's objects and back, once on the way in and once on the
way to PyTorch's kernel, and of the key under which the choice is found: for a convolution, with its lists of
integers, it is ten times that of `exp`. It is measured on an operator of the same arguments that does
nothing, so that nothing of the program runs twice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...ops.schemas import overload_of
from ..dispatch import as_tensors
from .signature import exact
from .trial import DISPATCH

ROUNDS, CALLS = 4, 5
"""The least of so many rounds counts, each of so many calls."""
WHOLE = 2.0
"""What a call costs altogether over what is measured here, which leaves out results and whatever a program's
own calls find in no cache: 1.0 to 2.6 on ten overloads. Short calls are rather PyTorch's than ours by
mistake."""

_library = torch.library.Library("anychip_probe", "FRAGMENT")


def measure(
    name: str, key: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any], written: frozenset[str]
) -> float:
    """Seconds that a call of the overload `name` under dispatch key `key` takes through Python above one that
    does not. For arguments that the operator which does nothing cannot take, the least that any call
    costs."""
    probe = _probe(name, key)
    kinds = [str(argument.type) for argument in overload_of(name)._schema.arguments]
    given = as_tensors(arguments, kinds)
    known = {word: value for word, value in keywords.items() if word not in written}
    try:
        with torch._C.DisableTorchFunction():
            through = _least(lambda: probe(*given, **known))
        return WHOLE * (through + _least(lambda: exact(arguments, keywords, written)))
    except (RuntimeError, TypeError):
        return DISPATCH


def _least(call: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        least = min(least, time.perf_counter() - start)
    return least / CALLS


@functools.cache
def _probe(name: str, key: str) -> Callable[..., None]:
    """An operator with the arguments of an overload, whose kernel for `key` returns nothing at once."""
    text = str(overload_of(name)._schema)
    arguments = text[text.index("(") : text.rindex("->")]
    own = f"{name.replace('.', '__')}__{key}"
    _library.define(f"{own}{arguments}-> ()")
    _library.impl(own, _nothing, key)
    return getattr(torch.ops.anychip_probe, own).default


def _nothing(*_: Any, **__: Any) -> None:
    """Take the arguments."""

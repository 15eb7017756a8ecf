"""What PyTorch makes of a call, in its own type and in float64. Flows in: an entry of PyTorch's database,
inputs, and how to call it with copies of them. Flows out: a trial. Nothing here may run while our operators
are enabled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from ..pytorch.observation import draws_random_numbers
from .comparison import tensors_in
from .exceptions import exemption
from .inputs import SEED, copied, detached, in_float64, summary
from .nearby import Nearby, scale_of
from .trial import Trial, elements_of

Call = Callable[[Callable[[Any], Any]], Callable[[], Any]]
"""Given a function that copies or converts inputs, makes them ready and gives what is to be run."""


class Refused(Exception):
    """PyTorch itself does not take the sample."""


class _Draws(TorchDispatchMode):
    """Notices operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seen |= draws_random_numbers(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def caller(function: Any, inputs: Any) -> Call:
    """A call of `function` with inputs (a list of arguments, a dict of keywords)."""

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        return lambda: function(*arguments, **keywords)

    return call


def native_result(call: Call, convert: Callable[[Any], Any]) -> tuple[Any, bool]:
    """PyTorch's result for inputs passed through `convert`, and whether random numbers were drawn for
    it. Raises Refused where PyTorch raises."""
    run = call(convert)
    torch.default_generator.manual_seed(SEED)
    draws = _Draws()
    try:
        with draws:
            result = tree_map(detached, run())
    except Exception as error:
        raise Refused from error
    return result, draws.seen


def told(entry: Any, kind: str, dtype: torch.dtype, inputs: Any, call: Call) -> Trial | None:
    """A trial of `call`; None where PyTorch does not take the inputs."""
    try:
        native, drawn = native_result(call, copied)
    except Refused:
        return None
    tensors = [x for x in tree_flatten((inputs, native))[0] if isinstance(x, torch.Tensor)]
    rounded = [x for x in tensors if _is_rounded(x.dtype)]
    exact, near = None, call
    if rounded:
        for near in (_of_floats(call), call) if _of_integers(inputs) else (call,):
            try:
                exact, _ = native_result(near, in_float64)
                break
            except Refused:
                exact = None
    else:
        exact = _independent(entry, kind, inputs)
    first = inputs[0][0]
    ties = exemption("ties", entry.full_name, kind, dtype) is not None and isinstance(first, torch.Tensor)
    return Trial(
        kind,
        summary(inputs),
        tuple(call(copied) for _ in range(1 + drawn)),
        native,
        exact,
        nearby=Nearby(lambda convert: native_result(near, convert)[0], scale=scale_of(inputs)),
        elements=elements_of(inputs),
        source=first if ties else None,
        undefined=exemption("undefined", entry.full_name, kind, dtype) is not None,
        unsigned=exemption("magnitudes", entry.full_name, kind, dtype) is not None,
    )


def _of_integers(inputs: Any) -> bool:
    """Whether no tensor among the inputs is floating or complex."""
    return not any(x.is_floating_point() or x.is_complex() for x in tensors_in(inputs))


def _of_floats(call: Call) -> Call:
    """The call with its integers as floats of single precision, from which conversions go on: of integers
    PyTorch itself gives floats of that, in which nothing is more exact."""

    def promoted(value: Any) -> Any:
        whole = isinstance(value, torch.Tensor) and value.dtype != torch.bool
        return value.detach().to(torch.float32) if whole else value

    return lambda convert: call(lambda value: convert(promoted(value)))


def is_pointwise(entry: Any) -> bool:
    """Whether an element of an entry's result depends on the elements at its own place alone."""
    return type(entry).__name__ in ("UnaryUfuncInfo", "BinaryUfuncInfo")


def _is_rounded(dtype: torch.dtype) -> bool:
    """Whether double precision tells more than a type itself."""
    if dtype.is_complex:
        return dtype != torch.complex128
    return dtype.is_floating_point and dtype != torch.float64


def _independent(entry: Any, kind: str, inputs: Any) -> Any:
    """In float64 PyTorch's own result has no better one to be judged by but that of NumPy or SciPy, where
    the entry of a function of one tensor names theirs; None where it does not."""
    (first, *others), keywords = inputs
    if type(entry).__name__ != "UnaryUfuncInfo" or entry.ref is None or kind not in SHAPED:
        return None
    if not isinstance(first, torch.Tensor) or first.dtype != torch.float64:
        return None
    with numpy.errstate(all="ignore"):
        try:
            found = torch.as_tensor(numpy.asarray(entry.ref(first.numpy(), *others, **keywords)))
        except Exception:
            return None
    return SHAPED[kind](found)


def _same(result: Any) -> Any:
    return result


SHAPED: dict[str, Callable[[torch.Tensor], Any]] = {
    "sample": _same,
    "layout": _same,
    "reference": _same,
    "expanded": _same,
    "transposed": _same,
    "0-d": _same,
    "special": _same,
    "in-place": lambda result: (result, True),
    "out": lambda result: (result,),
}
"""What the trials of a kind give, for a result."""

"""Arguments of transforms under SciPy's rules: axes, lengths, norms, workers. Flows in: what a user passes.
Flows out: dimensions, lengths and a factor, or the exception that SciPy raises."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import InvalidType, InvalidValue, NotProvided

FORWARD, BACKWARD = -1, 1
"""Signs in the exponent."""


def factor(norm: Any, direction: int, count: float) -> float:
    """What a transform of `count` points is multiplied by. Raises InvalidValue."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise InvalidValue(f'Invalid norm value {norm!r}; should be "backward", "ortho" or "forward".')
    if norm == "ortho":
        return 1 / math.sqrt(count)
    scaled = FORWARD if norm == "forward" else BACKWARD
    return 1 / count if direction == scaled else 1.0


def checked(workers: Any, plan: Any = None) -> None:
    """Refuse what SciPy refuses. The threads are PyTorch's (`torch.set_num_threads`), whatever `workers` is:
    results do not depend on them."""
    if plan is not None:
        raise NotProvided("Passing a precomputed plan is not yet supported by these functions")
    if workers is None:
        return
    count = operator.index(workers)
    if count == 0 or count < -(os.cpu_count() or 1):
        raise InvalidValue(f"workers must not be zero, nor below minus the number of processors: {workers}")


def _listed(value: Any, name: str) -> list[int]:
    if isinstance(value, Iterable):
        return [operator.index(one) for one in value]
    try:
        return [operator.index(value)]
    except TypeError:
        raise InvalidType(f"{name} must be a scalar or iterable of integers, not {value!r}") from None


def dimensions(x: torch.Tensor, s: Any, axes: Any, name: str = "s") -> tuple[list[int], list[int]]:
    """The dimensions that are transformed, and their lengths. Raises InvalidValue."""
    lengths = None if s is None else _listed(s, name)
    if axes is None:
        count = x.ndim if lengths is None else len(lengths)
        if count > x.ndim:
            raise InvalidValue("shape requires more axes than are present")
        dims = list(range(x.ndim - count, x.ndim))
    else:
        dims = []
        for axis in _listed(axes, "axes"):
            if not -x.ndim <= axis < x.ndim:
                raise InvalidValue("axes exceeds dimensionality of input")
            dims.append(axis % x.ndim)
        if len(set(dims)) != len(dims):
            raise InvalidValue("all axes must be unique")
    if lengths is None:
        lengths = [x.shape[d] for d in dims]
    elif len(lengths) != len(dims):
        raise InvalidValue("when given, axes and shape arguments have to be of the same length")
    return dims, [x.shape[d] if n == -1 else n for d, n in zip(dims, lengths)]


def positive(lengths: Sequence[int]) -> None:
    """Refuse transforms of no points."""
    if any(n < 1 for n in lengths):
        raise InvalidValue(f"invalid number of data points ({list(lengths)}) specified")


def resized(x: torch.Tensor, dims: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
    """The first `lengths` elements along `dims`, with zeros behind what there is."""
    missing = [0] * (2 * x.ndim)
    for d, n in zip(dims, lengths):
        if n < x.shape[d]:
            x = x.narrow(d, 0, n)
        missing[2 * (x.ndim - 1 - d) + 1] = max(0, n - x.shape[d])
    return torch.nn.functional.pad(x, missing) if any(missing) else x

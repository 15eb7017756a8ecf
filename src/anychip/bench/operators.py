"""Cases of one operator of the library, from its record.

Flows in: an operator's name. Flows out: cases that time its overloads against PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..ops.registry import Operator, Overload, Sample, operators
from ..ops.schemas import overload_of
from ..suggestions import did_you_mean
from .case import Case, Work, moved
from .errors import BenchmarkError


def cases(name: str) -> list[Case]:
    """The operator's benchmark shapes; where it has none, the largest sample of each overload.

    Raises `BenchmarkError` for a name that the registry does not have, or nothing to run.
    """
    known = operators()
    if name not in known:
        raise BenchmarkError(f"there is no operator {name!r}.\n  {did_you_mean(name, known)}")
    found = list(_cases(known[name]))
    if not found:
        raise BenchmarkError(f"operator {name!r} has neither benchmark shapes nor samples.")
    return found


def _cases(operator: Operator) -> Iterator[Case]:
    by_name = {overload.name: overload for overload in operator.overloads}
    if operator.benchmarks:
        for benchmark in operator.benchmarks:
            sample = benchmark.sample(operator.dtypes[0])
            yield _case(operator, by_name[benchmark.overload], sample)
        return
    for overload in operator.overloads:
        for dtype in operator.dtypes[:1]:
            samples = list(overload.samples(dtype))
            if samples:
                yield _case(operator, overload, max(samples, key=_size))


def _case(operator: Operator, overload: Overload, sample: Sample) -> Case:
    tensors = _tensors(sample)
    sizes = tuple(tensors[0].shape) if tensors else ()
    dtype = tensors[0].dtype if tensors else torch.float32
    return Case(overload.name, operator.domain, sizes, dtype, lambda: _work(overload, sample))


def _work(overload: Overload, sample: Sample) -> Work:
    pytorch: Callable[..., Any] = overload_of(overload.name)
    keywords = dict(sample.keywords)
    return Work(
        sample.arguments,
        lambda *arguments: overload.implementation(*arguments, **keywords),
        lambda *arguments: pytorch(*arguments, **keywords),
        bytes=2 * moved(*_tensors(sample)),
        compared=overload.compared,
        exportable=False,
    )


def _tensors(sample: Sample) -> list[torch.Tensor]:
    return [x for x in sample.arguments if isinstance(x, torch.Tensor)]


def _size(sample: Sample) -> int:
    return sum(x.numel() for x in _tensors(sample))

"""Every registered operator against its reference, through the one list of operators. The oracle is
PyTorch's own kernel in float64 (or the record's reference), within the bound that proofs use; a test also
asserts that kernels of the operator's record ran. Each overload is tried in its first dtype, and one in eight
in another one, both drawn by the name, with three samples; the rest are slow tests."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from anychip.evidence import records
from anychip.evidence.accuracy import FACTORS
from anychip.evidence.comparison import Terms, difference, tensors_in
from anychip.evidence.inputs import copied
from anychip.ops.launching import attribution, compute_dtype
from anychip.ops.registry import Operator, Overload, no_samples, operators

ONE_IN = 8


def is_drawn(operator: Operator, overload: Overload, dtype: torch.dtype) -> bool:
    """Whether the dtype is one of those in which the overload is always tried."""
    first, *others = operator.dtypes
    number = zlib.crc32(overload.name.encode())
    return dtype == first or (number % ONE_IN == 0 and dtype == others[number // ONE_IN % len(others)])


CASES = [
    pytest.param(
        operator,
        overload,
        dtype,
        id=f"{overload.name}-{str(dtype)[6:]}",
        marks=() if is_drawn(operator, overload, dtype) else pytest.mark.slow,
    )
    for operator in operators().values()
    for overload in operator.overloads
    for dtype in operator.dtypes
    if overload.samples is not no_samples
]


def some_of(samples: list[Any], name: str) -> list[Any]:
    """The first sample, the last, and one between them that is drawn by the name."""
    between = samples[1:-1]
    drawn = between[zlib.crc32(name.encode()) % len(between)] if between else None
    return [*samples[:1], *([] if drawn is None else [drawn]), *samples[1:][-1:]]


@pytest.fixture
def launched() -> Iterator[Counter[str]]:
    """Counts the launches of a test by the names of kernels."""
    attribution.counter = Counter()
    yield attribution.counter
    attribution.counter = None


@pytest.mark.parametrize(("operator", "overload", "dtype"), CASES)
def test_operator_agrees_with_float64(
    operator: Operator,
    overload: Overload,
    dtype: torch.dtype,
    launched: Counter[str],
    request: pytest.FixtureRequest,
) -> None:
    pick = overload.compared or (lambda result: result)
    samples = list(overload.samples(dtype))
    assert samples
    if not request.config.getoption("--slow"):
        samples = some_of(samples, overload.name)
    own = computed = 0
    for number, sample in enumerate(samples):
        wanted = records.expected(overload, sample)
        arguments, keywords = tree_map(copied, records.inputs_of(sample))
        launched.clear()
        actual = pick(overload.implementation(*arguments, **keywords))
        terms = Terms(factor=FACTORS.get(operator.domain, 1.0))
        fault = difference(actual, wanted.native, wanted.exact, terms, wanted.nearby)
        assert fault is None, f"sample {number}: {fault}"
        given = [x.numel() for x in tensors_in(sample)]
        if any(x.numel() for x in tensors_in(wanted.native)) and (any(given) or not given):
            assert launched, f"sample {number}: nothing was launched"
            computed += any(given)
            own += any(operator.owns(name) for name in launched)
    assert own or not computed, f"no kernel of the record was launched, but {dict(launched)}"


def test_compute_dtype_is_at_least_single_precision() -> None:
    assert compute_dtype(torch.bfloat16) == compute_dtype(torch.float16) == torch.float32

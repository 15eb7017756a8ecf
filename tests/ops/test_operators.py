"""Every registered operator against its reference, through the one list of operators. The oracle is
PyTorch's own kernel in float64 (or the record's reference); a test also asserts that ours ran. Each overload
is tried in its first dtype and in another one, drawn by its name; the rest are slow tests."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map

from anychip.ops.launch import compute_dtype, launches
from anychip.ops.registry import Operator, Overload, no_samples, operators
from anychip.ops.schemas import overload_of

EPSILON = {torch.float64: 1e-12, torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def is_drawn(operator: Operator, overload: Overload, dtype: torch.dtype) -> bool:
    """Whether the dtype is one of the two in which the overload is always tried."""
    first, *others = operator.dtypes
    return dtype == first or dtype == others[zlib.crc32(overload.name.encode()) % len(others)]


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


def in_float64(value: Any) -> Any:
    """Arguments for the oracle: floating tensors and dtypes made double, everything copied."""
    if isinstance(value, torch.Tensor):
        return value.to(torch.float64, copy=True) if value.is_floating_point() else value.clone()
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return torch.float64
    return value


def copied(value: Any) -> Any:
    """The same tensors in the same layout, in memory of their own."""
    if not isinstance(value, torch.Tensor) or value.numel() == 0:
        return value
    storage = value.untyped_storage().clone()
    return torch.empty(0, dtype=value.dtype).set_(
        storage, value.storage_offset(), value.shape, value.stride()
    )


def assert_near(actual: Any, expected: Any, dtype: torch.dtype, length: int, factor: float) -> None:
    """Equal structure; floating results within the dtype's rounding, times the root of the length."""
    flat_actual, _ = tree_flatten(actual)
    flat_expected, _ = tree_flatten(expected)
    assert len(flat_actual) == len(flat_expected)
    for ours, oracle in zip(flat_actual, flat_expected, strict=True):
        if not isinstance(oracle, torch.Tensor):
            assert ours == oracle
            continue
        assert tuple(ours.shape) == tuple(oracle.shape)
        assert ours.is_floating_point() == oracle.is_floating_point()
        if not oracle.is_floating_point():
            assert ours.dtype == oracle.dtype
            assert torch.equal(ours, oracle)
            continue
        epsilon = EPSILON[ours.dtype if ours.dtype in EPSILON else dtype]
        epsilon = max(epsilon, EPSILON[dtype]) if dtype in EPSILON else epsilon
        tolerance = epsilon * factor * max(1.0, length**0.5 / 4)
        torch.testing.assert_close(
            ours.double(), oracle.to(ours.dtype).double(), rtol=tolerance, atol=tolerance, equal_nan=True
        )


@pytest.mark.parametrize(("operator", "overload", "dtype"), CASES)
def test_operator_agrees_with_float64(operator: Operator, overload: Overload, dtype: torch.dtype) -> None:
    reference = overload.reference or overload_of(overload.name)
    pick = overload.compared or (lambda result: result)
    samples = list(overload.samples(dtype))
    assert samples
    launched = sum(launches.values())
    computed = 0
    for sample in samples:
        arguments, keywords = tree_map(in_float64, (list(sample.arguments), dict(sample.keywords)))
        expected = reference(*arguments, **keywords)
        arguments, keywords = tree_map(copied, (list(sample.arguments), dict(sample.keywords)))
        actual = overload.implementation(*arguments, **keywords)
        length = max(
            (x.numel() for x in tree_flatten(arguments)[0] if isinstance(x, torch.Tensor)), default=1
        )
        assert_near(pick(actual), pick(expected), dtype, min(length, 4096), operator.tolerance)
        computed += any(isinstance(x, torch.Tensor) and x.numel() for x in tree_flatten(expected)[0])
    if computed:
        assert sum(launches.values()) >= launched + computed


def test_compute_dtype_is_at_least_single_precision() -> None:
    assert compute_dtype(torch.bfloat16) == compute_dtype(torch.float16) == torch.float32

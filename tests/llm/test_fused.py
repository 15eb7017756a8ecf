"""Every fused operator against a plain PyTorch composition in float64, its gradients included. Every call
must have launched kernels of ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map

from anychip.llm.registry import Fused, operators
from anychip.ops.launch import launches

EPSILON = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float64: 1e-12}

CASES = [
    pytest.param(operator, dtype, id=f"{operator.name}-{str(dtype)[6:]}")
    for operator in operators().values()
    for dtype in operator.dtypes
]


def wide(value: Any) -> Any:
    """A float64 copy of a floating tensor that can be differentiated; other tensors copied."""
    if not isinstance(value, torch.Tensor):
        return value
    if not value.is_floating_point() or value.dtype.itemsize == 1:
        return value.clone()
    return value.detach().to(torch.float64, copy=True).requires_grad_(value.requires_grad)


def tensors(value: Any) -> list[torch.Tensor]:
    return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]


def assert_near(ours: torch.Tensor, oracle: torch.Tensor, dtype: torch.dtype, factor: float) -> None:
    assert ours.shape == oracle.shape
    if not oracle.is_floating_point():
        assert torch.equal(ours.to(oracle.dtype), oracle)
        return
    if oracle.dtype.itemsize == 1:
        assert ours.dtype == oracle.dtype
        assert torch.equal(ours.float(), oracle.float())
        return
    epsilon = max(EPSILON[dtype], EPSILON.get(ours.dtype, 0.0)) * factor
    scale = max(1.0, float(oracle.detach().abs().nan_to_num(0.0, 0.0, 0.0).max()) if oracle.numel() else 1.0)
    torch.testing.assert_close(
        ours.detach().double(),
        oracle.detach().double(),
        rtol=4 * epsilon,
        atol=4 * epsilon * scale,
        equal_nan=True,
    )


@pytest.mark.parametrize(("operator", "dtype"), CASES)
def test_agrees_with_float64(operator: Fused, dtype: torch.dtype) -> None:
    samples = list(operator.samples(dtype))
    assert samples
    for sample in samples:
        before = sum(launches.values())
        arguments, keywords = list(sample.arguments), dict(sample.keywords)
        if operator.differentiable:
            arguments = [
                x.detach().requires_grad_() if isinstance(x, torch.Tensor) and x.dtype == dtype else x
                for x in arguments
            ]
        oracle_arguments, oracle_keywords = tree_map(wide, (arguments, keywords))
        expected = tensors(operator.reference(*oracle_arguments, **oracle_keywords))
        actual = tensors(operator.function(*arguments, **keywords))
        assert len(actual) == len(expected)
        for ours, oracle in zip(actual, expected, strict=True):
            assert_near(ours, oracle, dtype, operator.tolerance)
        assert sum(launches.values()) > before or not any(e.numel() for e in expected)
        if operator.differentiable:
            _compare_gradients(operator, dtype, arguments, actual, oracle_arguments, expected)


def _compare_gradients(
    operator: Fused,
    dtype: torch.dtype,
    arguments: list[Any],
    actual: list[torch.Tensor],
    oracle_arguments: list[Any],
    expected: list[torch.Tensor],
) -> None:
    pairs = [
        (x, y)
        for x, y in zip(tensors(arguments), tensors(oracle_arguments), strict=True)
        if x.requires_grad and y.requires_grad
    ]
    results = [(a, e) for a, e in zip(actual, expected, strict=True) if a.requires_grad and e.requires_grad]
    assert pairs
    assert results
    generator = torch.Generator().manual_seed(5)
    seeds = [torch.randn(e.shape, generator=generator, dtype=torch.float64) for _, e in results]
    seeds = [seed.to(a.dtype) for seed, (a, _) in zip(seeds, results, strict=True)]
    before = sum(launches.values())
    ours = torch.autograd.grad([a for a, _ in results], [x for x, _ in pairs], seeds, allow_unused=True)
    assert sum(launches.values()) > before or not any(e.numel() for e in expected)
    oracle = torch.autograd.grad(
        [e for _, e in results], [y for _, y in pairs], [s.double() for s in seeds], allow_unused=True
    )
    for mine, theirs in zip(ours, oracle, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert_near(mine, theirs, dtype, 4 * operator.tolerance)


def test_names_are_attributes_of_the_room() -> None:
    import anychip.llm

    for name, operator in operators().items():
        assert getattr(anychip.llm, name) is operator.function
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = anychip.llm.nothing_like_it

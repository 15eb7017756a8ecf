"""Overloads that PyTorch has on accelerators alone, on tensors of the CPU: the functions that serve them
there against PyTorch's attention, its batch normalization and its lists of tensors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from anychip.ops.errors import NotServed
from anychip.ops.launching import launch_counts
from anychip.ops.schemas import overload_of
from anychip.pytorch import accelerators
from anychip.pytorch.dispatch import has_kernel, variants_served


def operands(queries: int = 7) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(3)
    shapes = ((2, 4, queries, 16), (2, 4, 9, 16), (2, 4, 9, 16))
    return tuple(torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_and_its_gradients(causal: bool, masked: bool) -> None:
    q, k, v = operands(9)
    mask = torch.randn(2, 1, 9, 9, dtype=torch.float64).expand(2, 4, 9, 9) if masked and not causal else None
    wanted = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=0.3)
    weights = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, (q, k, v), weights)
    before = launch_counts["attention_kernel"]
    with torch.no_grad():
        out, sums, seed, offset = accelerators.efficient_attention(
            q, k, v, mask, True, 0.0, causal, scale=0.3
        )
        assert launch_counts["attention_kernel"] == before + 1
        assert sums.shape == (2, 4, 32), "rows are as long as PyTorch's"
        *ours, of_mask = accelerators.efficient_attention_backward(
            weights, q, k, v, mask, out, sums, seed, offset, 0.0, [True] * 3 + [False], causal, scale=0.3
        )
    scores = 0.3 * q @ k.transpose(-1, -2) + (0 if mask is None else mask)
    if causal:
        scores = scores.masked_fill(~torch.ones(9, 9, dtype=torch.bool).tril(), float("-inf"))
    torch.testing.assert_close(sums[..., :9], scores.logsumexp(-1))
    assert bool(torch.isinf(sums[..., 9:]).all())
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(tuple(ours), gradients)
    assert of_mask is None


def test_attention_keeps_no_sums_where_none_are_wanted() -> None:
    q, k, v = operands()
    with torch.no_grad():
        assert accelerators.efficient_attention(q, k, v, None, False)[1].shape == (2, 4, 0)


@pytest.mark.parametrize("causal", [False, True])
def test_the_other_kinds_of_attention(causal: bool) -> None:
    q, k, v = operands(9)
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    weights = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, (q, k, v), weights)
    with torch.no_grad():
        out, sums, *rest = accelerators.flash_attention(q, k, v, 0.0, causal)
        torch.testing.assert_close(out, wanted)
        assert rest[2:4] == [9, 9]
        given: tuple[Any, ...] = (weights, q, k, v, out, sums, None, None, 9, 9, 0.0, causal, *rest[4:6])
        torch.testing.assert_close(accelerators.flash_attention_backward(*given), gradients)
        out, sums, _, _, *lengths, seed, offset, _ = accelerators.cudnn_attention(
            q, k, v, None, True, 0.0, causal
        )
        torch.testing.assert_close(out, wanted)
        assert sums.shape == (2, 4, 9, 1)
        given = (weights, q, k, v, out, sums, seed, offset, None, None, None, *lengths, 0.0, causal)
        torch.testing.assert_close(accelerators.cudnn_attention_backward(*given), gradients)


def test_functions_take_and_give_what_pytorchs_schemas_say() -> None:
    for name, served in accelerators.SERVED.items():
        schema = overload_of(name)._schema
        parameters = inspect.signature(served.function).parameters
        assert [argument.name for argument in schema.arguments] == list(parameters), name
    q, k, v = (x.detach() for x in operands())
    forward = accelerators.flash_attention(q, k, v), accelerators.cudnn_attention(q, k, v, None, False)
    assert [len(results) for results in forward] == [9, 9]


def test_what_attention_does_not_serve_is_refused() -> None:
    q, k, v = (x.detach() for x in operands())
    with pytest.raises(NotServed, match="dropout"):
        accelerators.flash_attention(q, k, v, 0.1)
    with pytest.raises(NotServed, match="gradient of a mask"):
        accelerators.efficient_attention_backward(q, q, k, v, None, q, q, q, q, 0.0, [True] * 4)


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalization(training: bool) -> None:
    torch.manual_seed(4)
    x = torch.randn(3, 5, 4, 7)
    weight, bias, mean, variance = torch.rand(4, 5).unbind()
    given = (weight, bias, mean.clone(), variance.clone(), training, 0.1, 1e-5)
    wanted = torch.ops.aten.native_batch_norm.default(x, *given)
    ours = accelerators.cudnn_batch_norm(x, weight, bias, mean.clone(), variance.clone(), training, 0.1, 1e-5)
    torch.testing.assert_close(ours[:3], wanted)
    assert ours[3].dtype == torch.uint8
    if not training:
        return
    gradient = torch.randn_like(x)
    found = accelerators.cudnn_batch_norm_backward(
        x, gradient, weight, mean, variance, ours[1], ours[2], 1e-5, ours[3]
    )
    native = torch.ops.aten.native_batch_norm_backward.default
    expected = native(gradient, x, weight, mean, variance, *wanted[1:], True, 1e-5, [True] * 3)
    torch.testing.assert_close(found, expected)


def test_lists_of_tensors_are_composed_where_only_an_accelerator_has_a_kernel() -> None:
    add = accelerators.composed("_foreach_add.List", "CUDA")
    assert add is not None
    x = [torch.ones(3), torch.ones(2, 2)]
    result = add(x, x, alpha=2)
    assert [y.tolist() for y in result] == [[3.0] * 3, [[3.0] * 2] * 2]
    assert accelerators.composed("_foreach_add.List", "CPU") is None
    assert accelerators.composed("add.Tensor", "CUDA") is None
    assert accelerators.composed("cudnn_batch_norm", "CUDA") is None


def test_no_overload_of_the_table_has_another_record() -> None:
    assert not set(accelerators.SERVED) & set(variants_served())
    assert not any(has_kernel(name, "CPU") for name in accelerators.SERVED)

"""`torch.func` through every fused operator: batches are loops, both derivatives are the reference's in
float64, and what has none is refused instead of being zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from anychip import llm
from anychip.evidence.fused import ORDER, difference, tensors, wide
from anychip.evidence.nearby import Nearby, OfResult, scale_of
from anychip.llm.registry import Fused, operators
from anychip.ops.errors import ArgumentError
from anychip.ops.launching import launch_counts

Flat = Callable[..., tuple[torch.Tensor, ...]]
Convert = Callable[[torch.Tensor], torch.Tensor]
Run = Callable[[Convert], list[torch.Tensor]]


def smallest(operator: Fused) -> tuple[Flat, Flat, list[torch.Tensor], list[int]]:
    """Of the sample with the fewest elements: the operator and its reference as functions of tensors alone,
    the tensors, and the places of those that a gradient is wanted of."""
    samples = [(s.arguments, s.keywords) for s in operator.samples(operator.dtypes[0])]
    samples = [s for s in samples if all(x.numel() for x in tensors(s))]
    sample = min(samples, key=lambda s: sum(x.numel() for x in tensors(s)))
    leaves, structure = tree_flatten(sample)
    places = [k for k, x in enumerate(leaves) if isinstance(x, torch.Tensor)]

    def flat(function: Callable[..., Any]) -> Flat:
        def call(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            filled = list(leaves)
            for k, x in zip(places, given, strict=True):
                filled[k] = x
            arguments, keywords = tree_unflatten(filled, structure)
            return tuple(tensors(function(*arguments, **keywords)))

        return call

    given = [leaves[k].detach() for k in places]
    wanted = [k for k, x in enumerate(given) if x.is_floating_point()] if operator.differentiable else []
    leaf = [x.clone().requires_grad_(k in wanted) for k, x in enumerate(given)]
    results = [x for x in flat(operator.function)(*leaf) if x.requires_grad] if wanted else []
    if results:
        seeds, inputs = [torch.ones_like(x) for x in results], [leaf[k] for k in wanted]
        found = torch.autograd.grad(results, inputs, seeds, allow_unused=True)
        wanted = [k for k, g in zip(wanted, found, strict=True) if g is not None]
    return flat(operator.function), flat(operator.reference), given, wanted


def tried(name: str) -> None:
    operator = operators()[name]
    function, reference, given, wanted = smallest(operator)
    batch = [torch.stack([x, x]) for x in given]
    if operator.writes:
        with pytest.raises(ArgumentError, match="writes into its arguments"):
            torch.func.vmap(function)(*batch)
        return
    before = sum(launch_counts.values())
    for ours, each in zip(torch.func.vmap(function)(*batch), function(*given), strict=True):
        assert torch.equal(*torch.broadcast_tensors(ours.float().nan_to_num(), each.float().nan_to_num()))
    assert sum(launch_counts.values()) > before
    if not operator.differentiable:
        tangents = tree_map(lambda x: torch.ones_like(x) if x.is_floating_point() else None, given)
        if any(x is not None for x in tangents) and any(x.is_floating_point() for x in function(*given)):
            places = [k for k, x in enumerate(tangents) if x is not None]
            with pytest.raises(ArgumentError, match="has no derivative"):
                torch.func.jvp(*at(function, given, places), tuple(tangents[k] for k in places))
        return
    generator = torch.Generator().manual_seed(0)
    directions = tuple(torch.randn(given[k].shape, generator=generator).to(given[k].dtype) for k in wanted)

    def forward(function: Flat, convert: Convert) -> list[torch.Tensor]:
        converted = [convert(x) for x in given]
        return tensors(torch.func.jvp(*at(function, converted, wanted), tuple(map(convert, directions))))

    primals = forward(function, torch.clone)
    agree(operator, primals, lambda convert: forward(reference, convert), given)
    floating = [x for x in function(*given) if x.is_floating_point()]
    seeds = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in floating]

    def backward(function: Flat, convert: Convert) -> list[torch.Tensor]:
        called, moved = at(function, [convert(x) for x in given], wanted)
        return list(torch.func.vjp(called, *moved)[1](tuple(map(convert, seeds))))

    agree(operator, backward(function, torch.clone), lambda convert: backward(reference, convert), given)


def agree(operator: Fused, ours: list[torch.Tensor], run: Run, given: list[torch.Tensor]) -> None:
    """Ours are within the bound of proofs of what the reference gives for inputs converted to float64."""
    exact, nearby = run(wide), Nearby(run, kept=operator.dtypes[0], scale=scale_of(given))
    assert len(ours) == len(exact)
    for number, (mine, oracle, native) in enumerate(zip(ours, exact, run(torch.clone), strict=True)):
        beside = OfResult(nearby, number, len(ours))
        assert not difference(mine, oracle, native, beside, ORDER * operator.tolerance)


def at(function: Flat, given: list[torch.Tensor], places: list[int]) -> tuple[Flat, tuple[torch.Tensor, ...]]:
    """Floating results as a function of the tensors at some places alone, and those."""

    def call(*moved: torch.Tensor) -> tuple[torch.Tensor, ...]:
        filled = list(given)
        for k, x in zip(places, moved, strict=True):
            filled[k] = x
        return tuple(x for x in function(*filled) if x.is_floating_point())

    return call, tuple(given[k] for k in places)


FEW = ["rms_norm", "kl_divergence", "topk_softmax", "kv_cache_write", "moe_permute"]


@pytest.mark.parametrize("name", FEW)
def test_transforms(name: str) -> None:
    tried(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(operators().keys() - set(FEW)))
def test_transforms_of_every_operator(name: str) -> None:
    tried(name)


def test_whole_jacobians_and_batches_of_gradients() -> None:
    x, weight = torch.randn(3, 5), torch.rand(5) + 0.5
    plain = operators()["rms_norm"].reference
    want = torch.func.jacrev(plain, (0, 1))(x.double(), weight.double())
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        for ours, theirs in zip(transform(llm.rms_norm, (0, 1))(x, weight), want, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)

    def loss(row: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return llm.rms_norm(row, scale).square().sum()

    each = torch.func.vmap(torch.func.grad(loss, 1), (0, None))(x, weight)
    whole = torch.func.grad(lambda scale: torch.func.vmap(loss, (0, None))(x, scale).sum())(weight)
    torch.testing.assert_close(each.sum(0), whole)
    with pytest.raises(ArgumentError, match="no second derivative"):
        torch.func.hessian(loss, 1)(x[0], weight)


def test_a_constant_argument_is_refused() -> None:
    student, teacher = torch.randn(2, 5), torch.randn(2, 5)
    with pytest.raises(ArgumentError, match="no derivative by one of the arguments"):
        torch.func.grad(llm.kl_divergence, 1)(student, teacher)
    with pytest.raises(ArgumentError, match="no derivative by one of the arguments"):
        torch.func.jvp(lambda t: llm.kl_divergence(student, t), (teacher,), (teacher,))


def test_dual_numbers_without_torch_func() -> None:
    import torch.autograd.forward_ad as forward

    x, weight = torch.randn(3, 5), torch.rand(5)
    with forward.dual_level():
        found = forward.unpack_dual(llm.rms_norm(forward.make_dual(x, torch.ones_like(x)), weight)).tangent
        with pytest.raises(ArgumentError, match="has no derivative"):
            llm.greedy_sample(forward.make_dual(x, torch.ones_like(x)))
    want = torch.func.jvp(
        lambda x: operators()["rms_norm"].reference(x, weight), (x,), (torch.ones_like(x),)
    )[1]
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


def test_who_writes_is_known() -> None:
    for operator in (one for one in operators().values() if one.writes):
        sample = next(iter(operator.samples(operator.dtypes[0])))
        leaves = tensors((sample.arguments, sample.keywords))
        before = [x.clone() for x in leaves]
        operator.function(*sample.arguments, **sample.keywords)
        assert any((x.float() != y.float()).any() for x, y in zip(leaves, before, strict=True)), operator.name

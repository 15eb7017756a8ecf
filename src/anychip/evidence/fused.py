"""Proofs of the fused operators of `anychip.llm`. Flows in: records of that room, each with a plain PyTorch
composition as its reference. Flows out: what was compared in float64, results and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from ..llm.registry import Fused
from ..ops.launch import launches
from ..ops.registry import Sample

EPSILON = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float64: 1e-12}
"""Granted differences by the narrowest type of a comparison, a quarter of them: relative, and of the largest
value."""
SEED = 5


@dataclass(slots=True)
class Finding:
    """What the samples of one operator in one dtype gave. `gradients` counts compared gradients."""

    name: str
    dtype: str
    samples: int = 0
    gradients: int = 0
    launches: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether something ran, and nothing failed."""
        return bool(self.samples and self.launches) and not self.failures


def prove(operator: Fused, dtype: torch.dtype, samples: Iterable[Sample] | None = None) -> Finding:
    """Every sample (or those given) against the reference in float64, with gradients where there are any."""
    finding = Finding(operator.name, str(dtype).removeprefix("torch."))
    for sample in operator.samples(dtype) if samples is None else samples:
        finding.samples += 1
        before = sum(launches.values())
        problem = _tried(operator, dtype, sample, finding)
        finding.launches += sum(launches.values()) - before
        if problem:
            finding.failures.append(f"sample {finding.samples}: {problem}")
    return finding


def _tried(operator: Fused, dtype: torch.dtype, sample: Sample, finding: Finding) -> str:
    arguments, keywords = list(sample.arguments), dict(sample.keywords)
    if operator.differentiable:
        arguments = [
            x.detach().requires_grad_() if isinstance(x, torch.Tensor) and x.dtype == dtype else x
            for x in arguments
        ]
    oracle_arguments, oracle_keywords = tree_map(wide, (arguments, keywords))
    expected = tensors(operator.reference(*oracle_arguments, **oracle_keywords))
    before = sum(launches.values())
    actual = tensors(operator.function(*arguments, **keywords))
    if len(actual) != len(expected):
        return f"{len(actual)} results, {len(expected)} expected"
    if sum(launches.values()) == before and any(e.numel() for e in expected):
        return "no kernel was launched"
    for place, (ours, oracle) in enumerate(zip(actual, expected, strict=True)):
        if problem := difference(ours, oracle, dtype, operator.tolerance):
            return f"result {place}: {problem}"
    if not operator.differentiable:
        return ""
    return _gradients(operator, dtype, arguments, actual, oracle_arguments, expected, finding)


def _gradients(
    operator: Fused,
    dtype: torch.dtype,
    arguments: Sequence[Any],
    actual: Sequence[torch.Tensor],
    oracle_arguments: Sequence[Any],
    expected: Sequence[torch.Tensor],
    finding: Finding,
) -> str:
    pairs = [
        (x, y)
        for x, y in zip(tensors(arguments), tensors(oracle_arguments), strict=True)
        if x.requires_grad and y.requires_grad
    ]
    results = [(a, e) for a, e in zip(actual, expected, strict=True) if a.requires_grad and e.requires_grad]
    if not pairs or not results:
        return "nothing to differentiate"
    generator = torch.Generator().manual_seed(SEED)
    seeds = [torch.randn(e.shape, generator=generator, dtype=torch.float64) for _, e in results]
    seeds = [seed.to(a.dtype) for seed, (a, _) in zip(seeds, results, strict=True)]
    before = sum(launches.values())
    ours = torch.autograd.grad([a for a, _ in results], [x for x, _ in pairs], seeds, allow_unused=True)
    if sum(launches.values()) == before and any(e.numel() for e in expected):
        return "no kernel was launched for the gradients"
    oracle = torch.autograd.grad(
        [e for _, e in results], [y for _, y in pairs], [s.double() for s in seeds], allow_unused=True
    )
    for place, (mine, theirs) in enumerate(zip(ours, oracle, strict=True)):
        if (mine is None) != (theirs is None):
            return f"gradient {place}: {'missing' if mine is None else 'where there is none'}"
        if mine is not None and theirs is not None:
            finding.gradients += 1
            if problem := difference(mine, theirs, dtype, 4 * operator.tolerance):
                return f"gradient {place}: {problem}"
    return ""


def wide(value: Any) -> Any:
    """A float64 copy of a floating tensor that can be differentiated; other tensors copied."""
    if not isinstance(value, torch.Tensor):
        return value
    if not value.is_floating_point() or value.dtype.itemsize == 1:
        return value.clone()
    return value.detach().to(torch.float64, copy=True).requires_grad_(value.requires_grad)


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors of nested results."""
    return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]


def difference(ours: torch.Tensor, oracle: torch.Tensor, dtype: torch.dtype, factor: float) -> str:
    """What is wrong with a result, in words; empty if it is near enough. Integers and 8-bit floats must be
    equal."""
    if ours.shape != oracle.shape:
        return f"shape {tuple(ours.shape)}, expected {tuple(oracle.shape)}"
    if not oracle.is_floating_point():
        return "" if torch.equal(ours.to(oracle.dtype), oracle) else "integers differ"
    if oracle.dtype.itemsize == 1:
        equal = ours.dtype == oracle.dtype and torch.equal(ours.float(), oracle.float())
        return "" if equal else "8-bit floats differ"
    epsilon = 4 * max(EPSILON[dtype], EPSILON.get(ours.dtype, 0.0)) * factor
    scale = max(1.0, float(oracle.detach().abs().nan_to_num(0.0, 0.0, 0.0).max()) if oracle.numel() else 1.0)
    try:
        torch.testing.assert_close(
            ours.detach().double(), oracle.detach().double(), rtol=epsilon, atol=epsilon * scale,
            equal_nan=True,
        )  # fmt: skip
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


def sparing(operator: Fused, dtype: torch.dtype) -> list[Sample]:
    """The first and the last sample in the operator's first dtype, one in each of the others: kernels differ
    between dtypes in loads and stores alone."""
    samples = list(operator.samples(dtype))
    place = operator.dtypes.index(dtype)
    return [*samples[:1], *samples[1:][-1:]] if place == 0 else [samples[(place - 1) % len(samples)]]

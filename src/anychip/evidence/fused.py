"""Proofs of the fused operators of every room. Flows in: records, each with a plain PyTorch composition as
its reference. Flows out: what was compared in float64, results and gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten, tree_map

from ..ops.fused import Fused
from ..ops.launching import launch_counts
from ..ops.registry import Sample
from .accuracy import Yardstick
from .inputs import copied, in_float64, weights_like
from .nearby import Nearby, OfResult, scale_of

Convert = Callable[[Any], Any]

ORDER = 2.0
"""Factor on what inputs moved by a rounding change: sums of thousands are in the order of a kernel's loop,
and PyTorch's in blocks."""


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
        before = sum(launch_counts.values())
        problem = _tried(operator, dtype, sample, finding)
        finding.launches += sum(launch_counts.values()) - before
        if problem:
            finding.failures.append(f"sample {finding.samples}: {problem}")
    return finding


def _tried(operator: Fused, dtype: torch.dtype, sample: Sample, finding: Finding) -> str:
    inputs = inputs_of(operator, dtype, sample)
    wanted = expected(operator, dtype, inputs)
    # In memory of its own: what is updated in place must stay for the results near the inputs.
    ours = evaluated(operator, operator.function, tree_map(copied, inputs))
    if any(e.numel() for e in wanted.exact.results):
        for what, launched in (("", ours.forward), (" for the gradients", ours.backward)):
            if launched is not None and not _own(operator, launched):
                return f"no kernel of its own was launched{what}, but {dict(launched)}"
    if operator.differentiable and not wanted.exact.gradients:
        return "nothing to differentiate"
    finding.gradients += sum(x is not None for x in wanted.exact.gradients)
    return fault(operator, ours, wanted)


Inputs = tuple[list[Any], dict[str, Any]]


def inputs_of(operator: Fused, dtype: torch.dtype, sample: Sample) -> Inputs:
    """A sample's arguments, of which those of `dtype` want gradients if there are any, and keywords."""
    arguments = list(sample.arguments)
    if operator.differentiable:
        arguments = [
            x.detach().requires_grad_() if isinstance(x, torch.Tensor) and x.dtype == dtype else x
            for x in arguments
        ]
    return arguments, dict(sample.keywords)


class Wanted(NamedTuple):
    """What a call should give: what the composition gives in float64, in the type at hand (the former where
    PyTorch lacks an operator in that type), and near the inputs."""

    exact: Evaluated
    native: Evaluated
    nearby: Nearby


def expected(operator: Fused, dtype: torch.dtype, inputs: Inputs) -> Wanted:
    """What the operator's composition makes of inputs."""

    def reference(convert: Convert) -> Evaluated:
        converted = tree_map(_kept(convert), inputs)

        def weights(result: torch.Tensor) -> torch.Tensor:
            if not (operator.linear and result.is_floating_point()):
                return weights_like(result)
            return convert(weights_like(result.to(dtype))).to(result.dtype)

        return evaluated(operator, operator.reference, converted, weights)

    exact = reference(in_float64)
    try:
        native = reference(copied)
    except RuntimeError:
        native = exact
    if len(native.flat) != len(exact.flat):
        native = exact
    return Wanted(
        exact, native, Nearby(lambda convert: reference(convert).flat, kept=dtype, scale=scale_of(inputs))
    )


def fault(operator: Fused, ours: Evaluated, wanted: Wanted) -> str:
    """What is wrong with results and gradients, in words; empty if they are near enough."""
    for what in ("results", "gradients"):
        found, right = len(getattr(ours, what)), len(getattr(wanted.exact, what))
        if found != right:
            return f"{found} {what}, {right} expected"
    flat, count = zip(ours.flat, wanted.exact.flat, wanted.native.flat, strict=True), len(ours.flat)
    for place, (mine, oracle, plain) in enumerate(flat):
        number = place - len(ours.results)
        name = f"result {place}" if number < 0 else f"gradient {number}"
        if (mine is None) != (oracle is None):
            return f"{name}: {'missing' if mine is None else 'where there is none'}"
        if mine is not None and oracle is not None:
            beside = OfResult(wanted.nearby, place, count)
            if problem := difference(mine, oracle, plain, beside, ORDER * operator.tolerance):
                return f"{name}: {problem}"
    return ""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a call gave: results, gradients by the arguments that want one (None where there is none), and the
    launches of both passes; `backward` is None where there was none."""

    results: list[torch.Tensor]
    gradients: list[torch.Tensor | None]
    forward: Counter[str]
    backward: Counter[str] | None

    @property
    def flat(self) -> list[torch.Tensor | None]:
        """Results, then gradients."""
        return [*self.results, *self.gradients]


def evaluated(
    operator: Fused,
    function: Callable[..., Any],
    inputs: Any,
    weighed: Callable[[torch.Tensor], torch.Tensor] = weights_like,
) -> Evaluated:
    """A call, and its gradients for fixed weights of the results, if the operator has them. Weights are
    inputs of the gradients: those of a linear operator depend on nothing else, and move with them alone."""
    arguments, keywords = inputs
    before = Counter(launch_counts)
    results = tensors(function(*arguments, **keywords))
    forward = Counter(launch_counts) - before
    wanting = [x for x in tensors(arguments) if x.requires_grad]
    outputs = [x for x in results if x.requires_grad]
    if not operator.differentiable or not wanting or not outputs:
        return Evaluated(results, [], forward, None)
    before = Counter(launch_counts)
    weights = [weighed(x) for x in outputs]
    gradients = torch.autograd.grad(outputs, wanting, weights, allow_unused=True)
    return Evaluated(results, list(gradients), forward, Counter(launch_counts) - before)


def _own(operator: Fused, launched: Counter[str]) -> bool:
    """Whether kernels of an operator's record are among those launched."""
    names = {kernel.__name__ for kernel in operator.kernels}
    return any(name.partition("[")[0] in names for name in launched)


def wide(value: Any) -> Any:
    """A float64 copy of a floating tensor; copies of others, and of 8-bit floats, which are formats."""
    return _kept(in_float64)(value)


def _kept(convert: Convert) -> Convert:
    """The conversion, but for 8-bit floats, which are formats, and for what is no tensor."""

    def converted(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.clone() if value.is_floating_point() and value.dtype.itemsize == 1 else convert(value)

    return converted


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors of nested results."""
    return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]


def difference(
    ours: torch.Tensor,
    oracle: torch.Tensor,
    native: torch.Tensor | None,
    nearby: OfResult | None = None,
    factor: float = 1.0,
) -> str:
    """What is wrong with a result, in words; empty if it is near enough to the float64 `oracle`, by the bound
    of `accuracy`; `native` is what the composition gives in the type at hand. Integers and 8-bit floats must
    be equal."""
    if ours.shape != oracle.shape:
        return f"shape {tuple(ours.shape)}, expected {tuple(oracle.shape)}"
    if not oracle.is_floating_point():
        return "" if torch.equal(ours.to(oracle.dtype), oracle) else "integers differ"
    if oracle.dtype.itemsize == 1:
        equal = ours.dtype == oracle.dtype and torch.equal(ours.float(), oracle.float())
        return "" if equal else "8-bit floats differ"
    ours, oracle = ours.detach(), oracle.detach()
    plain = native.detach() if native is not None and native.dtype != torch.float64 else None
    right = Yardstick(oracle, plain, nearby, factor=factor).right(ours)
    if bool(right.all()):
        return ""
    place = tuple(int(k) for k in (~right).nonzero()[0]) if right.ndim else ()
    return (
        f"{int((~right).sum())} of {right.numel()} elements are wrong, first at {list(place)}: "
        f"{ours[place].item()!r} instead of {oracle[place].item()!r}"
    )


def sparing(operator: Fused, dtype: torch.dtype) -> list[Sample]:
    """The first and the last sample in the operator's first dtype, one in each of the others: kernels differ
    between dtypes in loads and stores alone."""
    samples = list(operator.samples(dtype))
    place = operator.dtypes.index(dtype)
    return [*samples[:1], *samples[1:][-1:]] if place == 0 else [samples[(place - 1) % len(samples)]]

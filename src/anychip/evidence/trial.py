"""One trial: a call whose result PyTorch has told before our operators were enabled. Flows in: the call
and what PyTorch made of it. Flows out: a verdict, counted in a proof with the overloads that ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_map

from ..ops.registry import operators, overloads
from ..pytorch import sparse_layouts, statistics
from ..pytorch.errors import FallThroughError
from .accuracy import FACTORS
from .comparison import Terms, difference, picks_alike, selects, tensors_in
from .inputs import SEED
from .nearby import Nearby
from .outcome import Failure, Proof, Tally


@dataclass(frozen=True, slots=True)
class Trial:
    """Each of `runs` is to be run once, on inputs of its own. One of these is to hold: the only run gives
    `native` within the bound; it raises `raises`; or, for random results, both of two runs give the same
    from the same seed, with the shapes and types of `native`."""

    kind: str
    inputs: str
    runs: tuple[Callable[[], Any], ...]
    native: Any = None
    reference: Any = None
    raises: type[Exception] | None = None
    nearby: Nearby | None = None
    """What PyTorch gives for inputs near those of the trial."""
    elements: int = 1
    """Elements of the largest input."""
    source: torch.Tensor | None = None
    """What the results (values, indices) are picked from, where equal elements may be named at will."""
    unsigned: bool = False
    """Vectors are determined but for their sign."""
    undefined: bool = False
    """Where PyTorch gives NaN, any value may stand."""


class Observation(NamedTuple):
    """What one trial did: its results, or its error, and the overloads that were served meanwhile, each
    with its calls and how often it launched kernels of its operator's record."""

    results: tuple[Any, ...]
    error: Exception | None
    served: dict[str, tuple[int, int]]


COMPLEX = "complex_kernel["
"""Begins the names of launches that serve pointwise operators for complex numbers."""


def own_launches(operator: str, kernels: Mapping[str, int]) -> int:
    """How many of counted launches are of kernels that an operator's record names."""
    if operator == sparse_layouts.OPERATOR:
        return sum(n for name, n in kernels.items() if name.partition("[")[0] in sparse_layouts.KERNELS)
    record = operators()[operator]
    return sum(n for name, n in kernels.items() if record.owns(name) or name.startswith(COMPLEX))


def observe(trial: Trial) -> Observation:
    """Run a trial under the strict policy, which must be in force."""
    statistics.reset()
    results: list[Any] = []
    error = None
    try:
        for run in trial.runs:
            torch.default_generator.manual_seed(SEED)
            results.append(run())
    except Exception as raised:
        error = raised.with_traceback(None)
    statistics.settle()
    served = {
        entry.overload: (entry.calls, own_launches(entry.operator, entry.kernels))
        for entry in statistics.served.values()
        if entry.calls
    }
    return Observation(tuple(results), error, served)


def judge(trial: Trial, observed: Observation, proof: Proof) -> None:
    """Count a trial's outcome, by PyTorch on its own: no policy may be in force."""
    names = tuple(observed.served)
    if isinstance(observed.error, FallThroughError):
        proof.unserved[f"{observed.error.overload}: {observed.error.reason}"] += 1
        proof.count(trial.kind, "unserved")
        return
    if not names and observed.error is None and trial.raises is None:
        proof.count(trial.kind, "views")
        return
    fault = _fault(trial, observed)
    for name, (_, launched) in observed.served.items():
        tally = proof.overloads.setdefault(name, Tally())
        tally.passed += fault is None
        tally.failed += fault is not None
        tally.launches += launched
        tally.kinds[trial.kind] += fault is None
    if fault is None:
        proof.count(trial.kind, "passed")
    else:
        proof.fail(Failure(trial.kind, trial.inputs, fault, names))


def _fault(trial: Trial, observed: Observation) -> str | None:
    """What is wrong with the outcome of a trial, or None."""
    wanted = f", where PyTorch raises {trial.raises.__name__}" if trial.raises else ""
    if observed.error is not None:
        if trial.raises is not None and isinstance(observed.error, trial.raises):
            return None
        text = str(observed.error).strip()
        return f"{type(observed.error).__name__}: {text.splitlines()[0] if text else ''}{wanted}"
    if trial.raises is not None:
        return f"no error{wanted}"
    launched = sum(launches for _, launches in observed.served.values())
    if not launched and any(x.numel() for x in tensors_in(trial.native)):
        return "no kernel of ours was launched"
    if len(observed.results) > 1:
        first, second = observed.results[:2]
        return _random_difference(first, second, trial.native)
    calls = sum(calls for calls, _ in observed.served.values())
    terms = Terms(calls, _factor(tuple(observed.served)), trial.undefined)
    result, native, reference = observed.results, (trial.native,), (trial.reference,)
    nearby = trial.nearby
    if trial.unsigned:
        result, native, reference = tree_map(_magnitude, (result, native, reference))
        nearby = (
            None
            if nearby is None
            else Nearby(nearby.run, lambda x: tree_map(_magnitude, x), scale=nearby.scale)
        )
    fault = difference(result, native, reference, terms, nearby)
    if fault is None or trial.source is None:
        return fault
    ours, theirs = tensors_in(observed.results), tensors_in(trial.native)
    if len(ours) == len(theirs) == 1:
        return None if picks_alike(ours[0], theirs[0], trial.source) else fault
    values = difference(ours[0], theirs[0], None, terms)
    chosen = len(ours) == len(theirs) == 2 and ours[1].shape == theirs[1].shape
    return None if values is None and chosen and selects(ours[1], ours[0], trial.source) else fault


def _magnitude(value: Any) -> Any:
    return value.detach().abs() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _random_difference(result: Any, again: Any, native: Any) -> str | None:
    """What is wrong with random results: shapes, types, or not the same from the same seed."""
    ours, second, theirs = tensors_in(result), tensors_in(again), tensors_in(native)
    if len(ours) != len(theirs):
        return f"{len(ours)} results instead of {len(theirs)}"
    for x, y, z in zip(ours, second, theirs, strict=True):
        if x.dtype != z.dtype or x.shape != z.shape:
            return f"{x.dtype} {list(x.shape)} instead of {z.dtype} {list(z.shape)}"
        if not torch.equal(torch.nan_to_num(x.detach()), torch.nan_to_num(y.detach())):
            return "another result from the same seed"
    return None


def _factor(served: tuple[str, ...]) -> float:
    """The largest factor among the domains of operators that served a trial."""
    known = overloads()
    return max((FACTORS.get(known[n][0].domain, 1.0) for n in served if n in known), default=1.0)


def elements_of(inputs: Any) -> int:
    """The elements of the largest input."""
    return max((x.numel() for x in tensors_in(inputs)), default=1) or 1

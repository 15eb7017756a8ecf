"""Two traces beside each other. Flows in: what two runs wrote, on whatever machines. Flows out: pairs of
steps, how far each pair's results are apart, and which of them its inputs' distance and rounding do not
explain."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ...evidence.accuracy import PRECISION, rounding
from .trace_file import DRAW, INPUT, Step, Trace

AMPLIFIED = 8.0
"""Multiple of its inputs' distance by which a step's results may be apart without suspicion."""

ROUNDINGS = {torch.float32: 16.0, torch.float64: 16.0, torch.float16: 0.1, torch.bfloat16: 0.1}
"""Likewise, multiple of a type's rounding: different kernels add in different orders; what is added in single
precision and rounded once to a half differs in few elements."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A step of both runs. `distance` is that of its results by their size (the root mean square, over all
    results the largest), `before` that of its inputs; `allowed` is what `before` and rounding explain."""

    a: Step
    b: Step
    distance: float = 0.0
    before: float = 0.0
    allowed: float = 0.0

    @property
    def name(self) -> str:
        """The operator, or kernel."""
        return self.b.name

    @property
    def suspicion(self) -> float:
        """The distance by what is allowed; more than 1 is to be judged."""
        if self.distance == 0.0:
            return 0.0
        return self.distance / self.allowed if self.allowed else math.inf


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs in the order of the runs. `only_a`, `only_b`: steps that one run alone has."""

    pairs: tuple[Pair, ...]
    only_a: int = 0
    only_b: int = 0

    @property
    def differing(self) -> list[Pair]:
        """Pairs whose results differ in any bit."""
        return [pair for pair in self.pairs if pair.distance > 0.0]

    @property
    def inputs(self) -> list[Pair]:
        """Inputs of the runs that differ."""
        return [pair for pair in self.differing if pair.b.kind == INPUT]

    def suspects(self, most: int = 24) -> list[Pair]:
        """Steps to be judged, at most so many: those that are not explained, the earliest first, or, where
        there are too many, the more suspicious half of them too; and the first that differs at all."""
        steps = [pair for pair in self.differing if pair.b.kind not in (INPUT, DRAW)]
        found = [pair for pair in steps if pair.suspicion > 1.0]
        if len(found) > most:
            worst = sorted(found, key=lambda pair: -pair.suspicion)[: most // 2]
            found = [*found[: most - len(worst)], *worst]
        found += steps[:1]
        return sorted({pair.b.number: pair for pair in found}.values(), key=lambda pair: pair.b.number)


def compare(a: Trace, b: Trace) -> Comparison:
    """Lay two traces beside each other."""
    pairs: list[Pair] = []
    partners = {x.number: y for x, y in _aligned(a.steps, b.steps)}
    distances: dict[int, float] = {}
    for x in a.steps:
        before = max((distances.get(number, 0.0) for number in x.inputs), default=0.0)
        y = partners.get(x.number)
        if y is None:  # what only one run does hands on what it was given
            distances[x.number] = before
            continue
        distances[x.number] = _distance(x, y)
        pairs.append(Pair(x, y, distances[x.number], before, _allowed(y, before)))
    return Comparison(tuple(pairs), len(a.steps) - len(pairs), len(b.steps) - len(pairs))


def _distance(x: Step, y: Step) -> float:
    if len(x.outputs) != len(y.outputs):
        return math.inf
    return max((p.distance(q) for p, q in zip(x.outputs, y.outputs, strict=True)), default=0.0)


def _allowed(step: Step, before: float) -> float:
    """What the inputs' distance and rounding explain. Numbers that differ by less than their rounding differ
    by a whole one after it, now and then: the root in the last term."""
    kinds = [getattr(torch, x.dtype, None) for x in step.outputs]
    kinds = [kind for kind in kinds if kind in PRECISION]
    if not kinds:
        return 0.0 if before == 0.0 else math.inf
    u = max(rounding(kind) for kind in kinds)
    own = max(ROUNDINGS[kind] * rounding(kind) for kind in kinds)
    grown = AMPLIFIED * before
    return own + grown + 2.0 * math.sqrt(grown * u)


def _aligned(a: Sequence[Step], b: Sequence[Step]) -> Iterator[tuple[Step, Step]]:
    """Steps of the same kind and name with results of the same shapes, in order."""
    keys = [[(s.kind, s.name, tuple(x.shape for x in s.outputs)) for s in steps] for steps in (a, b)]
    same = 0
    while same < min(len(a), len(b)) and keys[0][same] == keys[1][same]:
        yield a[same], b[same]
        same += 1
    if same == len(a) or same == len(b):
        return
    matcher = difflib.SequenceMatcher(None, keys[0][same:], keys[1][same:], autojunk=False)
    for block in matcher.get_matching_blocks():
        for k in range(block.size):
            yield a[same + block.a + k], b[same + block.b + k]

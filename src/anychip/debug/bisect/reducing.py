"""The smallest call that is still wrong. Flows in: a captured step, in the process that it was captured in,
under its policy. Flows out: the call alone, with tensors cut along all dimensions of a size together, as long
as its results break their bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ...pytorch.policy import disabled
from .calls import OperatorCall, kept
from .judging import FAULT, judge
from .tracing import Captured

ROUNDS = 10
"""How often a smaller call is looked for, at most."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A call with its results. `alone`: it is wrong by itself, too, outside of the program's run; otherwise
    these are the program's inputs and results as they were."""

    captured: Captured
    alone: bool
    before: int
    """Elements of the program's tensors."""

    @property
    def elements(self) -> int:
        """Elements of the call's tensors."""
        return _elements(self.captured.call.inputs)

    def saved(self) -> dict[str, Any]:
        """What a script needs to repeat the call."""
        call = self.captured.call
        assert isinstance(call, OperatorCall)
        return {
            "arguments": list(call.arguments),
            "keywords": dict(call.keywords),
            "results": self.captured.outputs,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shapes = [
            list(x.shape) for x in tree_leaves(self.captured.call.inputs) if isinstance(x, torch.Tensor)
        ]
        return {"alone": self.alone, "elements": self.elements, "of": self.before, "shapes": shapes}


def reduced(captured: Captured) -> Reduced:
    """The smallest call that is found to be wrong like a captured one, under the policy in force."""
    call, before = captured.call, _elements(captured.call.inputs)
    assert isinstance(call, OperatorCall)
    found = _wrong([call], captured)
    if found is None:
        return Reduced(captured, False, before)
    for _ in range(ROUNDS):
        with disabled():
            smaller = list(_smaller(found.call))
        better = _wrong(smaller, captured)
        if better is None:
            break
        found = better
    return Reduced(found, True, before)


def _wrong(calls: list[OperatorCall], captured: Captured) -> Captured | None:
    """The first of some calls that is wrong."""
    done = []
    for call in calls:
        try:
            done.append(replace(captured, call=call, outputs=call.run(kept)))
        except Exception:  # sizes that do not fit together
            continue
    with disabled():
        return next((one for one in done if judge(one).outcome == FAULT), None)


def _smaller(call: Any) -> Iterator[OperatorCall]:
    """Calls with fewer elements, the fewest first: all dimensions of one size cut to a quarter, to half, or
    by one."""
    sizes = {n for x in tree_leaves(call.inputs) if isinstance(x, torch.Tensor) for n in x.shape if n > 1}
    made = []
    for size in sizes:
        for less in {max(1, size // 4), size // 2, size - 1}:
            cut = call.with_inputs(tree_map(lambda x, size=size, less=less: _cut(x, size, less), call.inputs))
            made.append((_elements(cut.inputs), len(made), cut))
    before = _elements(call.inputs)
    for elements, _, cut in sorted(made, key=lambda one: one[:2]):
        if elements < before:
            yield cut


def _cut(value: Any, size: int, less: int) -> Any:
    """A value with `less` in the place of `size`: dimensions, numbers, and indices that would be outside."""
    if isinstance(value, torch.Tensor):
        x = value
        for dim, n in enumerate(value.shape):
            if n == size:
                x = x.narrow(dim, 0, less)
        if x.dtype == torch.int64 and x.numel() and less <= int(x.max()) < size:
            x = x.clamp(max=less - 1)
        return x if x is value else x.clone()
    return less if type(value) is int and value == size else value


def _elements(inputs: Any) -> int:
    return sum(x.numel() for x in tree_leaves(inputs) if isinstance(x, torch.Tensor))

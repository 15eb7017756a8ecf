"""Proofs of operators can fail: for every record and dtype there is a sample on which a result of zeros, the
result of another call, and a result with one element off are refused. Only PyTorch runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from tests.wrong_results import (
    ANOTHER,
    ONE_OFF,
    ZEROS,
    assert_refused,
    backwards,
    next_number,
    smaller,
    some_pairs,
    taken,
)
from torch.utils._pytree import tree_map

from anychip.evidence import records
from anychip.evidence.accuracy import FACTORS
from anychip.evidence.comparison import Terms, difference
from anychip.ops.registry import INTEGRAL, Operator, Sample, no_samples, operators

pytestmark = pytest.mark.usefixtures("no_slack")


class Untold(NamedTuple):
    """Wrong results that are right ones, why, and in which dtypes (all, if there are none)."""

    kinds: tuple[str, ...]
    reason: str
    dtypes: tuple[torch.dtype, ...] = ()


UNTOLD: dict[str, Untold] = {
    "zero": Untold((ZEROS, ANOTHER), "the right result is zeros, whatever was there"),
    "arange": Untold((ANOTHER,), "the numbers that it is called with say the shape"),
    "eye": Untold((ANOTHER,), "the numbers that it is called with say the shape"),
    "logspace": Untold((ANOTHER,), "samples of one shape have the same ends"),
    "lstm_layer": Untold(
        (ONE_OFF,), "the workspace of a recurrence moves by more than eight units", (torch.float64,)
    ),
    "isnan": Untold((ZEROS, ANOTHER), "no integer is NaN", (*INTEGRAL, torch.bool)),
}
"""Record -> what cannot be told from its right result."""


def untold(name: str, dtype: torch.dtype) -> tuple[str, ...]:
    """The wrong results that are right ones of a record in a dtype."""
    found = UNTOLD.get(name)
    return found.kinds if found and (not found.dtypes or dtype in found.dtypes) else ()


DRAWN = {name for name, one in operators().items() if all(o.samples is no_samples for o in one.overloads)}
"""Records without samples: random numbers, which are compared with themselves and by their distributions."""


PAIRS = [
    (operator, dtype)
    for operator in operators().values()
    if operator.name not in DRAWN
    for dtype in operator.dtypes
]


def judge(operator: Operator, wanted: records.Expected) -> Callable[[Any], bool]:
    """Whether a result passes for the one that is wanted."""
    terms = Terms(factor=FACTORS.get(operator.domain, 1.0))
    return lambda found: difference(found, wanted.native, wanted.exact, terms, wanted.nearby) is None


@pytest.mark.parametrize(("operator", "dtype"), some_pairs(PAIRS))
def test_wrong_results_are_refused(operator: Operator, dtype: torch.dtype) -> None:
    assert_refused(tried(operator, dtype), untold(operator.name, dtype))


def tried(operator: Operator, dtype: torch.dtype) -> Iterator[Iterator[str]]:
    """For each sample that PyTorch takes, the wrong results that pass."""
    for overload in operator.overloads:
        samples = [] if overload.samples is no_samples else list(overload.samples(dtype))
        for place, sample in enumerate(samples):
            try:
                wanted = records.expected(overload, sample)
            except Exception:
                continue
            arguments = records.inputs_of(sample)
            changed = [Sample(*tree_map(change, arguments)) for change in (backwards, smaller, next_number)]
            others = [*(samples[place + k - len(samples)] for k in (1, 2) if len(samples) > k), *changed]
            calls = [lambda o=overload, s=other: records.expected(o, s).native for other in others]
            yield taken(wanted, calls, judge(operator, wanted))


def test_what_is_not_told_apart_is_in_the_registry() -> None:
    assert set(UNTOLD) <= set(operators())
    assert all(one.reason for one in UNTOLD.values())
    assert not DRAWN & set(UNTOLD)

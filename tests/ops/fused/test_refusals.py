"""Proofs of fused operators can fail: for every record and dtype there is a sample on which results and
gradients of zeros, those of another call, and the right ones with one element of one of them off are refused.
Gradients through values that are kept in half precision move by more. Only PyTorch runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.wrong_results import ONE_OFF, assert_refused, backwards, smaller, some_pairs, taken
from torch.utils._pytree import tree_map

from anychip.evidence import fused
from anychip.evidence.records import Expected
from anychip.ops.fused import Fused
from anychip.ops.rooms import everywhere

pytestmark = pytest.mark.usefixtures("no_slack")

UNTOLD: dict[str, tuple[tuple[str, ...], str]] = {
    "llm.newton_schulz": (
        (ONE_OFF,),
        "five products of matrices kept in bfloat16 lose more than eight units",
    ),
    "llm.latent_attention": (
        (ONE_OFF,),
        "scores kept in half precision move results by more than eight units",
    ),
    "robot.box_iou_3d": (
        (ONE_OFF,),
        "twelve sizes and places, each rounded, move a quotient of volumes by more than eight units",
    ),
}
"""Record -> the wrong results that are right ones, and why."""


def judge(operator: Fused, wanted: fused.Wanted) -> Callable[[Any], bool]:
    """Whether results and gradients, in a row, pass for those that are wanted."""
    count = len(wanted.exact.results)

    def passes(flat: list[Any]) -> bool:
        found = replace(wanted.exact, results=flat[:count], gradients=flat[count:])
        return not fused.fault(operator, found, wanted)

    return passes


def in_type(flat: list[Any], dtype: torch.dtype) -> list[Any]:
    """Results of a composition that computes in double precision, as an operator gives them."""
    return [x.to(dtype) if isinstance(x, torch.Tensor) and x.dtype == torch.float64 else x for x in flat]


PAIRS = [(operator, dtype) for operator in everywhere().values() for dtype in operator.dtypes]


@pytest.mark.parametrize(("operator", "dtype"), some_pairs(PAIRS))
def test_wrong_results_are_refused(operator: Fused, dtype: torch.dtype) -> None:
    excused, _ = UNTOLD.get(f"{operator.room}.{operator.name}", ((), ""))
    assert_refused(tried(operator, dtype), excused)


def tried(operator: Fused, dtype: torch.dtype) -> Iterator[Iterator[str]]:
    """For each sample, the wrong results that pass."""
    for sample in operator.samples(dtype):
        inputs = fused.inputs_of(operator, dtype, sample)
        wanted = fused.expected(operator, dtype, inputs)
        flat = Expected(in_type(wanted.native.flat, dtype), wanted.exact.flat, wanted.nearby)
        changed = [tree_map(change, inputs) for change in (backwards, smaller)]
        calls = [lambda i=i: in_type(fused.expected(operator, dtype, i).native.flat, dtype) for i in changed]
        yield taken(flat, calls, judge(operator, wanted), every=False)


def test_what_is_not_told_apart_is_in_the_registry() -> None:
    assert set(UNTOLD) <= set(everywhere())
    assert all(reason for _, reason in UNTOLD.values())

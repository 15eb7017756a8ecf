"""The judgement of results: what is within rounding passes, what is not does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anychip.evidence.comparison import ROUNDING, Bound, difference, picks_alike

FLOATS = list(ROUNDING)
POINTWISE = Bound(pointwise=True)


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_rounding_passes_and_many_do_not(dtype: torch.dtype) -> None:
    exact = torch.tensor([1.0, -3.25, 100.0], dtype=torch.float64)
    native = exact.to(dtype)
    near = (exact * (1 + ROUNDING[dtype])).to(dtype)
    far = (exact * (1 + 64 * ROUNDING[dtype])).to(dtype)
    assert difference(near, native, exact, POINTWISE) is None
    fault = difference(far, native, exact, POINTWISE)
    assert fault is not None
    assert "3 of 3" in fault


def test_the_tolerance_of_a_sum_grows_with_its_length_and_no_faster() -> None:
    native = torch.tensor([1000.0])
    off = native * (1 + 300 * ROUNDING[torch.float32])
    assert difference(off, native, native.double(), Bound(length=10)) is not None
    assert difference(off, native, native.double(), Bound(length=1000)) is None


def test_where_pytorch_itself_is_off_ours_may_be_as_far() -> None:
    exact = torch.tensor([1.0], dtype=torch.float64)
    native, ours = torch.tensor([1.001]), torch.tensor([0.999])
    assert difference(ours, native, exact, POINTWISE) is None
    assert difference(torch.tensor([0.99]), native, exact, POINTWISE) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_special_values_match_themselves_alone(value: float) -> None:
    ours = torch.tensor([value])
    assert difference(ours, ours.clone(), ours.double(), POINTWISE) is None
    assert difference(ours, torch.tensor([1.0]), torch.tensor([1.0]).double(), POINTWISE) is not None


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=9), st.integers(0, 8))
def test_integers_are_equal_or_wrong(values: list[int], place: int) -> None:
    native = torch.tensor(values)
    ours = native.clone()
    assert difference(ours, native, None, POINTWISE) is None
    ours[place % len(values)] += 1
    assert difference(ours, native, None, POINTWISE) is not None


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        (torch.ones(2, dtype=torch.float64), "dtype"),
        (torch.ones(3), "shape"),
        ([torch.ones(2)] * 2, "results"),
        (2.0, "instead of a tensor"),
    ],
)
def test_structure_counts(ours: object, word: str) -> None:
    fault = difference(ours, torch.ones(2), None, POINTWISE)
    assert fault is not None
    assert word in fault


def test_places_of_equal_elements_may_be_told_in_any_order() -> None:
    source = torch.tensor([3.0, 1.0, 3.0, float("nan")])
    expected = torch.tensor([1, 0, 2, 3])
    assert picks_alike(torch.tensor([1, 2, 0, 3]), expected, source)
    for wrong in ([0, 1, 2, 3], [1, 0, 0, 3], [1, 2, 0, 4]):
        assert not picks_alike(torch.tensor(wrong), expected, source)


def test_complex_parts_are_judged_one_by_one() -> None:
    native = torch.tensor([1 + 2j])
    assert difference(native.clone(), native, None, POINTWISE) is None
    assert difference(torch.tensor([1 + 2.1j]), native, None, POINTWISE) is not None

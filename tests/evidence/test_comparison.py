"""The judgement of results: what is within rounding passes, what is not does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anychip.evidence.accuracy import PRECISION, UNITS, Yardstick, unit
from anychip.evidence.comparison import difference, picks_alike
from anychip.evidence.inputs import in_float64
from anychip.evidence.nearby import Nearby, OfResult

FLOATS = list(PRECISION)


def summed(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Nearby]:
    """The sum over the last dimension: in the type, in float64, and near the inputs."""
    return values.sum(-1), in_float64(values).sum(-1), Nearby(lambda convert: convert(values).sum(-1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_few_units_pass_and_eight_do_not(dtype: torch.dtype) -> None:
    exact = torch.tensor([1.0, -3.25, 100.0], dtype=torch.float64)
    native, step = exact.to(dtype), unit(exact, dtype)
    near = (exact + UNITS[dtype] * step).to(dtype)
    far = (exact + 8 * step).to(dtype)
    assert difference(near, native, exact) is None
    fault = difference(far, native, exact)
    assert fault is not None
    assert "3 of 3" in fault


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [1.0, 1.999, 0.003, 6.0e-5, 0.0, -700.0])
def test_a_unit_is_the_distance_to_the_next_number(dtype: torch.dtype, value: float) -> None:
    x = torch.tensor([value]).to(dtype)
    above = torch.nextafter(x.abs(), torch.full_like(x, torch.inf))
    assert unit(x, dtype) == above.double() - x.double().abs()


def test_a_small_element_is_judged_by_its_own_size() -> None:
    exact = torch.tensor([1.0e4, 1.0e-4], dtype=torch.float64)
    native = exact.float()
    assert difference(torch.tensor([1.0e4, 1.001e-4]), native, exact) is not None
    assert difference(torch.tensor([1.0e4, 0.0]), native, exact) is not None


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [8, 3000])
def test_a_sum_may_lose_as_much_as_pytorchs_and_a_little_more(dtype: torch.dtype, terms: int) -> None:
    native, exact, nearby = summed(torch.randn(64, terms, dtype=torch.float64).to(dtype))
    reference = None if dtype == torch.float64 else exact
    worst = Yardstick(exact, None if reference is None else native, nearby_of(nearby)).own_error(dtype)
    assert worst.absolute > 0
    place = int(exact.abs().argmax())
    step = max(8 * float(unit(exact, dtype)[place]), 4 * worst.absolute)
    for times, verdict in ((0.15, True), (3.0, False)):
        ours = native.clone()
        ours[place] = exact[place] + times * step
        assert (difference(ours, native, reference, nearby=nearby) is None) == verdict


def nearby_of(nearby: Nearby) -> OfResult:
    return OfResult(nearby, 0, 1)


def test_a_sum_that_cancels_may_lose_what_its_terms_lose() -> None:
    native, exact, nearby = summed(torch.tensor([[100.0, -100.0, 0.1]]))
    off = native + 1.0e-5
    assert difference(off, native, exact) is not None
    assert difference(off, native, exact, nearby=nearby) is None
    assert difference(native + 1.0e-3, native, exact, nearby=nearby) is not None


def test_another_branch_of_a_function_is_no_rounding() -> None:
    x = torch.tensor([[2.0, 3.0, 7.0, 2.0]])
    nearby = Nearby(lambda convert: torch.floor(convert(x)))
    native = torch.floor(x)
    assert any(float(one[0].sum()) < 14.0 for one in nearby.moved())
    assert difference(native - 1.0, native, native.double(), nearby=nearby) is not None


def test_where_pytorch_itself_is_off_ours_may_be_as_far() -> None:
    exact = torch.tensor([1.0], dtype=torch.float64)
    native, ours = torch.tensor([1.0001]), torch.tensor([0.9999])
    assert difference(ours, native, exact) is None
    assert difference(torch.tensor([0.9996]), native, exact) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_special_values_match_themselves_alone(value: float) -> None:
    ours = torch.tensor([value])
    assert difference(ours, ours.clone(), ours.double()) is None
    assert difference(ours, torch.tensor([1.0]), torch.tensor([1.0]).double()) is not None


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=9), st.integers(0, 8))
def test_integers_are_equal_or_wrong(values: list[int], place: int) -> None:
    native = torch.tensor(values)
    ours = native.clone()
    assert difference(ours, native, None) is None
    ours[place % len(values)] += 1
    assert difference(ours, native, None) is not None


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
    fault = difference(ours, torch.ones(2), None)
    assert fault is not None
    assert word in fault


def test_places_of_equal_elements_may_be_told_in_any_order() -> None:
    source = torch.tensor([3.0, 1.0, 3.0, float("nan")])
    expected = torch.tensor([1, 0, 2, 3])
    assert picks_alike(torch.tensor([1, 2, 0, 3]), expected, source)
    for wrong in ([0, 1, 2, 3], [1, 0, 0, 3], [1, 2, 0, 4]):
        assert not picks_alike(torch.tensor(wrong), expected, source)


def test_complex_parts_are_judged_by_the_size_of_the_number() -> None:
    native = torch.tensor([1 + 2j])
    assert difference(native + 3e-7j, native, None) is None
    assert difference(torch.tensor([2.0 + 1e-8j]), torch.tensor([2.0 + 0j]), None) is None
    assert difference(native.clone(), native, None) is None
    assert difference(torch.tensor([1 + 2.1j]), native, None) is not None

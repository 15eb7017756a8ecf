"""The pointwise machinery through one operator: shapes, strides, rank, promotion, numbers, outputs.
The oracle is PyTorch's own operator on the same arguments."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import anychip
from anychip.ops.elementwise.arithmetic import add, div, mul
from anychip.ops.elementwise.comparison import lt
from anychip.ops.errors import ArgumentError, NotServed, UnsupportedDtype
from anychip.ops.launching import launch_counts
from anychip.ops.memory.copy import copy_

DTYPES = (torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)


@pytest.mark.parametrize("second", DTYPES, ids=str)
@pytest.mark.parametrize("first", DTYPES, ids=str)
def test_promotion_is_pytorchs(first: torch.dtype, second: torch.dtype) -> None:
    x = torch.tensor([0, 1, 3, 5]).to(first)
    y = torch.tensor([1, 1, 2, 0]).to(second)
    for other in (y, y[1]):
        for ours, theirs in ((mul(x, other), x * other), (lt(x, other), x < other)):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("alpha", [2, 2.5, True])
@pytest.mark.parametrize("second", [torch.float32, torch.int32, torch.bool], ids=str)
@pytest.mark.parametrize("first", [torch.int8, torch.bool], ids=str)
def test_factors_have_no_part_in_promotion(first: torch.dtype, second: torch.dtype, alpha: float) -> None:
    x, y = torch.tensor([0, 1, 1, 1]).to(first), torch.tensor([1, 1, 0, 3]).to(second)
    assert add(x, y, 1).dtype == (x + y).dtype
    assert torch.equal(add(x, y, 1), x + y)
    try:
        theirs = torch.add(x, y, alpha=alpha)
    except RuntimeError:
        with pytest.raises(ArgumentError, match="alpha"):
            add(x, y, alpha)
    else:
        assert add(x, y, alpha).dtype == theirs.dtype
        assert torch.equal(add(x, y, alpha), theirs)


@pytest.mark.parametrize("name", ["addmm_", "addmv_", "baddbmm_", "addr_"])
def test_in_place_never_changes_a_shape(name: str) -> None:
    operands = {
        "addmm_": (torch.ones(1, 1), torch.ones(5, 3), torch.ones(3, 4)),
        "addmv_": (torch.ones(()), torch.ones(5, 3), torch.ones(3)),
        "baddbmm_": (torch.ones(1, 1, 1), torch.ones(2, 5, 3), torch.ones(2, 3, 4)),
        "addr_": (torch.ones(()), torch.ones(5), torch.ones(4)),
    }
    target, *others = operands[name]
    shape = target.shape
    with anychip.using("strict"), pytest.raises(ArgumentError, match="in place"):
        getattr(target, name)(*others)
    assert target.shape == shape


@pytest.mark.parametrize("number", [2, 2.5, True, -1])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_promote_as_in_pytorch(dtype: torch.dtype, number: float) -> None:
    x = torch.tensor([0, 1, 3]).to(dtype)
    for operand in (x, x[2]):
        ours, theirs = mul(operand, number), operand * number
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("operands", [(1.5, [True]), (True, [1.5]), (1, [True]), ([1.5], [True])], ids=str)
def test_truth_values_are_not_subtracted(operands: tuple) -> None:
    x, y = (torch.tensor(value) if isinstance(value, list) else value for value in operands)
    for first, second in ((x, y), (y, x)):
        with pytest.raises(RuntimeError):
            first - second
        with anychip.using("strict"), pytest.raises(UnsupportedDtype, match="sub"):
            first - second


def test_double_numbers_keep_their_precision() -> None:
    x = torch.zeros(3, dtype=torch.float64)
    assert torch.equal(add(x, 1e-9, 1 / 3), x + 1e-9 * (1 / 3))
    assert torch.equal(
        add(torch.zeros(3, dtype=torch.int64), (1 << 40) + 1, 1), torch.full((3,), (1 << 40) + 1)
    )


@st.composite
def strided(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors that broadcast together, in any order of dimensions, some stepped."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    tensors = []
    for k in range(2):
        sizes = [draw(st.sampled_from([size, 1])) if k else size for size in shape]
        order = draw(st.permutations(range(len(sizes))))
        step = draw(st.integers(1, 2))
        stored = torch.arange(float(torch.Size(sizes).numel() * step)).reshape(
            [sizes[d] for d in order[:-1]] + [sizes[order[-1]] * step]
        )
        stepped = stored[..., ::step]
        tensors.append(stepped.permute([order.index(d) for d in range(len(sizes))]))
    return tensors[0], tensors[1]


@settings(max_examples=40)
@given(strided())
def test_any_strides(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = pair
    assert torch.equal(add(x, y, 1), x + y)


def test_rank_eight() -> None:
    x = torch.arange(256.0).reshape((2,) * 8).permute(7, 1, 5, 3, 4, 2, 6, 0)
    y = torch.arange(16.0).reshape(2, 1, 2, 1, 2, 1, 2, 1)
    assert torch.equal(add(x, y, 1), x + y)


def test_transposing_copy_of_uneven_tiles() -> None:
    x = torch.arange(3.0 * 130 * 70).reshape(3, 130, 70)
    target = torch.empty(70, 3, 130)
    assert torch.equal(copy_(target, x.permute(2, 0, 1)), x.permute(2, 0, 1))


def test_contiguous_operands_take_the_flat_kernel() -> None:
    x = torch.ones(6, 7)
    before = launch_counts["flat_kernel[add]"]
    add(x, x, 1)
    add(x.t(), x.t(), 1)
    assert launch_counts["flat_kernel[add]"] == before + 2
    before = launch_counts["tiled_kernel[add]"]
    add(x, x.t().contiguous().t(), 1)
    assert launch_counts["tiled_kernel[add]"] == before + 1


@pytest.mark.parametrize("shape", [(1,), (1, 1), (37, 1), (2, 1, 1), (1, 37, 1), (2, 37, 1)], ids=str)
def test_one_value_for_a_row_or_for_all(shape: tuple[int, ...]) -> None:
    x = torch.linspace(-1, 1, 2 * 37 * 70).reshape(2, 37, 70)
    y = torch.linspace(1, 2, torch.Size(shape).numel()).reshape(shape)
    before = launch_counts["flat_kernel[mul]"] + launch_counts["tiled_kernel[mul]"]
    assert torch.equal(mul(x, y), x * y)
    assert torch.equal(mul(y, x), x * y)
    assert torch.equal(mul(y.expand(x.shape), y), (y * y).expand(x.shape))
    assert launch_counts["flat_kernel[mul]"] + launch_counts["tiled_kernel[mul]"] == before + 3


def test_nothing_is_launched_for_no_elements() -> None:
    before = sum(launch_counts.values())
    assert add(torch.empty(0, 3), torch.ones(3), 1).shape == (0, 3)
    assert sum(launch_counts.values()) == before


def test_out_is_resized_each_time() -> None:
    x = torch.ones(5)
    for _ in range(3):
        out = torch.empty(2)
        add(x, x, 1, out=out)
        assert out.tolist() == [2.0] * 5


def test_out_casts_only_where_pytorch_does() -> None:
    x = torch.tensor([1.7, -2.7])
    assert torch.equal(mul(x, 2, out=torch.empty(2, dtype=torch.float64)), (x * 2).double())
    with pytest.raises(ArgumentError, match="can't be cast"):
        mul(x, 2, out=torch.empty(2, dtype=torch.int64))


def test_overlapping_operands_are_read_before_they_are_written() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    expected = x + x.t().clone()
    add(x, x.t(), 1, out=x)
    assert torch.equal(x, expected)
    line = torch.arange(5000.0)
    copy_(line[1:], line[:-1])
    assert torch.equal(line[1:], torch.arange(4999.0))


def test_expanded_tensors_are_not_written() -> None:
    x = torch.zeros(3).expand(3, 3)
    with pytest.raises(ArgumentError, match="single memory location"):
        add(x, 1, 1, out=x)


def test_complex_is_not_served_where_it_has_no_kernel() -> None:
    with pytest.raises(NotServed, match="complex64"):
        lt(torch.ones(2, dtype=torch.complex64), 2)


def test_unaligned_views() -> None:
    x = torch.arange(40.0)
    for start in range(4):
        assert torch.equal(add(x[start : start + 33], x[:33], 1), x[start : start + 33] + x[:33])


def test_integer_division_by_zero_does_not_trap() -> None:
    x = torch.tensor([7, -7, 3], dtype=torch.int32)
    result = div(x, torch.tensor([2, 2, 0], dtype=torch.int32), rounding_mode="floor")
    assert result[:2].tolist() == [3, -4]


@pytest.mark.slow
def test_more_than_two_to_the_31_elements() -> None:
    count = (1 << 31) + 5
    x = torch.zeros(count, dtype=torch.int8)
    x[-3:] = 7
    y = add(x, 1, 1)
    assert y[-4:].tolist() == [1, 8, 8, 8]
    assert int(y[: 1 << 20].sum()) == 1 << 20

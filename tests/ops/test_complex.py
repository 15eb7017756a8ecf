"""Complex numbers against PyTorch's own kernels, on PyTorch's samples and on numbers where formulas break."""

from __future__ import annotations

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

import anychip
from anychip.ops.complex_forms import AS_WHOLES, BY_PARTS, serve_complex
from anychip.ops.errors import RegistryError
from anychip.ops.launching import launch_counts
from anychip.ops.registry import overloads

QUICK = (
    "mul",
    "div",
    "abs",
    "eq",
    "logical_and",
    "pow",
    "nn.functional.silu",
    "addcmul",
    "lerp",
    "sum",
    "mean",
    "cumsum",
    "prod",
    "cumprod",
    "var_mean",
    "linalg.vector_norm",
    "nonzero",
    "cat",
    "index_select",
    "index_add",
    "gather",
    "masked_fill",
    "where",
    "nn.functional.pad",
    "baddbmm",
    "mv",
    "vdot",
    "linalg.cross",
    "equal",
    "index_put",
    "scatter",
)
SLOW = (
    "add",
    "sub",
    "reciprocal",
    "sgn",
    "angle",
    "neg",
    "exp",
    "log",
    "log1p",
    "sqrt",
    "sin",
    "tan",
    "acos",
    "expm1",
    "exp2",
    "log2",
    "log10",
    "rsqrt",
    "cos",
    "sinh",
    "cosh",
    "asin",
    "atan",
    "sinc",
    "logaddexp",
    "addcdiv",
    "ne",
    "logical_or",
    "logical_xor",
    "logical_not",
    "std_mean",
    "var",
    "std",
    "trace",
    "any",
    "all",
    "isnan",
    "count_nonzero",
    "nonzero_static",
    "mm",
    "addmm",
    "addbmm",
    "bmm",
    "addmv",
    "addr",
    "dot",
    "roll",
    "stack",
    "flip",
    "index_copy",
    "take",
    "put",
    "index_fill",
    "masked_scatter",
    "masked_select",
    "tril",
    "triu",
    "narrow_copy",
    "rot90",
    "einsum",
    "nn.functional.pixel_shuffle",
    "nn.functional.channel_shuffle",
    "nn.functional.unfold",
    "linalg.multi_dot",
    "corrcoef",
    "linalg.norm",
    "float_power",
    "square",
    "tensordot",
)
ENTRIES = {}
for _entry in op_db:
    ENTRIES.setdefault(_entry.name, _entry)

SPREAD = [0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0, 30.0, -30.0, 1e-4]
PLANE = torch.tensor([complex(a, b) for a in SPREAD for b in SPREAD if a or b], dtype=torch.complex128)


def _copied(tree):
    return pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, tree)


def _compare(name: str, dtype: torch.dtype, count: int) -> None:
    entry = ENTRIES[name]
    drawn = entry.sample_inputs("cpu", dtype)
    tried = 0
    for sample in drawn:
        arguments = (sample.input, *sample.args)
        expected = entry.op(*_copied(arguments), **_copied(sample.kwargs))
        before = launch_counts.total()
        with anychip.using("strict"):
            actual = entry.op(*_copied(arguments), **_copied(sample.kwargs))
        some = any(x.numel() for x in pytree.tree_leaves(arguments) if isinstance(x, torch.Tensor))
        assert launch_counts.total() > before or not some
        tolerance = 2e-4 if dtype == torch.complex64 else 1e-9
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        tried += 1
        if tried == count:
            break
    assert tried


@pytest.mark.parametrize("name", QUICK)
def test_samples_of_pytorch(name):
    _compare(name, torch.complex64, 1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_more_samples_of_pytorch(name, dtype):
    _compare(name, dtype, 4)


FUNCTIONS = (
    "exp",
    "log",
    "log1p",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sigmoid",
    "expm1",
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_over_the_plane(name):
    if name in ("sin", "cos", "tan", "sinh", "cosh", "exp", "expm1"):
        points = PLANE[(PLANE.real.abs() < 40) & (PLANE.imag.abs() < 40)]
    else:
        points = PLANE[(PLANE != 1) & (PLANE != -1) & (PLANE != 1j) & (PLANE != -1j)]
    expected = getattr(torch, name)(points)
    with anychip.using("strict"):
        actual = getattr(torch, name)(points)
    error = (actual - expected).abs()
    assert (error <= 1e-11 * expected.abs().clamp(min=1e-3)).all()


def test_real_numbers_mix_with_complex_ones():
    x, y = torch.randn(3, 4, dtype=torch.complex64), torch.randn(4)
    wanted = (x + y, y * 2j, x / 3, 1 - x, x.t() * 2, x == y)
    with anychip.using("strict"):
        found = (x + y, y * 2j, x / 3, 1 - x, x.t() * 2, x == y)
    torch.testing.assert_close(found, wanted)


def test_conjugates_and_out():
    x, y = torch.randn(3, 4, dtype=torch.complex128), torch.randn(3, 5, dtype=torch.complex128)
    wanted = x.mH @ y
    target = torch.zeros(2, dtype=torch.complex128)
    with anychip.using("strict"):
        found = x.mH @ y
        torch.mul(x, x.conj(), out=target)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(target, x * x.conj())


def test_both_parts_of_a_value_are_written():
    x = torch.zeros(2, 3, dtype=torch.complex64)
    mask = torch.tensor([True, False, True])
    with anychip.using("strict"):
        filled = x.clone().fill_(2 - 3j)
        masked = x.masked_fill(mask, 1 + 4j)
        placed = x.index_fill(1, torch.tensor([1]), 5j)
    assert filled.tolist() == [[2 - 3j] * 3] * 2
    assert masked.tolist() == [[1 + 4j, 0, 1 + 4j]] * 2
    assert placed.tolist() == [[0, 5j, 0]] * 2


def test_gradients():
    x = torch.randn(1, 2, dtype=torch.complex128, requires_grad=True)
    w = torch.randn(2, 1, dtype=torch.complex128, requires_grad=True)
    with anychip.using("strict"):
        assert torch.autograd.gradcheck(lambda x, w: torch.tanh(x @ w).abs(), (x, w))


def test_what_is_not_served_falls_through():
    x = torch.randn(2, 3, dtype=torch.complex64)
    expected = torch.logcumsumexp(x, 1)
    with anychip.using("portable"):
        torch.testing.assert_close(torch.logcumsumexp(x, 1), expected)


def test_the_table_names_overloads_of_the_library():
    assert set(overloads()) >= BY_PARTS | AS_WHOLES
    with pytest.raises(RegistryError, match="served twice"):
        serve_complex("prod", torch.prod)

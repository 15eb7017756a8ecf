"""Type promotion against PyTorch's own statement of it, and that a first operator does without SymPy."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import _prims_common as stated

from anychip.ops.errors import ArgumentError
from anychip.ops.promotion import Promotion, elementwise_dtypes

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.complex32,
    torch.complex64,
)
TENSORS = [torch.empty(shape, dtype=dtype, device="meta") for dtype in DTYPES for shape in ((), (2,))]
OPERANDS = [*TENSORS, True, 3, 2.5, 1j, None]


def described(operands: tuple[object, ...]) -> list[object]:
    return [(x.dtype, x.ndim) if isinstance(x, torch.Tensor) else x for x in operands]


@pytest.mark.parametrize("promotion", Promotion)
def test_two_operands_are_promoted_as_pytorch_does(promotion):
    for operands in itertools.product(TENSORS, OPERANDS):
        expected = stated.elementwise_dtypes(*operands, type_promotion_kind=promotion)
        assert elementwise_dtypes(*operands, type_promotion_kind=promotion) == expected, described(operands)


def test_three_operands_are_promoted_as_pytorch_does():
    kind = Promotion.DEFAULT
    for operands in itertools.combinations(OPERANDS[1::3], 3):
        expected = stated.elementwise_dtypes(*operands, type_promotion_kind=kind)
        assert elementwise_dtypes(*operands, type_promotion_kind=kind) == expected, described(operands)


def test_numbers_follow_the_default_type():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        integers = torch.empty(2, dtype=torch.int64)
        assert elementwise_dtypes(integers, 1.5, type_promotion_kind=Promotion.DEFAULT)[1] == torch.float64
        assert elementwise_dtypes(2, 1j, type_promotion_kind=Promotion.DEFAULT)[1] == torch.complex128
    finally:
        torch.set_default_dtype(before)


def test_what_is_no_operand_is_refused():
    with pytest.raises(ArgumentError, match="str"):
        elementwise_dtypes(TENSORS[0], "a", type_promotion_kind=Promotion.DEFAULT)


PROGRAM = """
import sys, torch, anychip
anychip.enable()
x = torch.ones(3)
assert (x + x).tolist() == [2, 2, 2] and (x > 0).all()
print("sympy" in sys.modules)
"""


def test_a_first_operator_does_without_sympy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

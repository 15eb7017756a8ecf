"""Arguments in slots: both launchers give the kernel the same, right bits, or a clear error."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime import handwritten

from anychip.runtime import launch
from anychip.runtime.errors import ArgumentError
from anychip.runtime.slots import MOST_VALUES, SKIP, Descriptor, Opcodes, Slot, opcodes

KINDS = (Slot.INT, Slot.BOOL, Slot.F16, Slot.BF16, Slot.F32, Slot.F64, Slot.POINTER)
TREE = (Slot.POINTER, SKIP, *KINDS)


@pytest.fixture(scope="module")
def echo():
    return handwritten.function("echo", handwritten.ECHO, ("!tt.ptr<i64>",) + ("any",) * len(KINDS))


@pytest.fixture(params=["native", "python"])
def call(request, echo):
    fast = launch.launcher(TREE, echo.arg_types, "echo")
    general = launch.Launcher(TREE, echo.arg_types, "echo")
    assert type(fast).__name__ == "builtin_function_or_method"
    chosen = fast if request.param == "native" else general

    def run(*values):
        out = torch.zeros(1 + len(KINDS), dtype=torch.int64)
        chosen(1, 1, 1, 0, echo.address, None, None, None, None, out, "a constexpr", *values)
        return out.numpy().view(np.uint64)[1:]

    return run


def torch_bits(value: float, dtype: torch.dtype, as_integer: torch.dtype) -> int:
    return int(torch.tensor(value, dtype=torch.float32).to(dtype).view(as_integer)) & 0xFFFF


@given(
    integer=st.integers(-(1 << 63), (1 << 64) - 1),
    flag=st.booleans(),
    real=st.floats(width=32, allow_nan=False),
    double=st.floats(allow_nan=False),
    address=st.integers(0, (1 << 64) - 1),
)
@settings(max_examples=200, deadline=None)
def test_values_arrive_bit_for_bit(echo, integer, flag, real, double, address):
    fast = launch.launcher(TREE, echo.arg_types, "echo")
    general = launch.Launcher(TREE, echo.arg_types, "echo")
    half = min(max(real, -60000.0), 60000.0)
    results = []
    for chosen in (fast, general):
        out = torch.zeros(1 + len(KINDS), dtype=torch.int64)
        chosen(
            *(1, 1, 1, 0, echo.address, None, None, None, None, out, None),
            *(integer, flag, half, real, real, double, address),
        )
        results.append(out.numpy().view(np.uint64)[1:].tolist())
    expected = [
        integer % (1 << 64),
        int(flag),
        int(np.float16(half).view(np.uint16)),
        torch_bits(real, torch.bfloat16, torch.int16),
        int(np.float32(real).view(np.uint32)),
        int(np.float64(double).view(np.uint64)),
        address,
    ]
    assert results == [expected, expected]


@pytest.mark.parametrize(
    ("value", "half", "bfloat", "single"),
    [
        (float("inf"), 0x7C00, 0x7F80, 0x7F800000),
        (float("-inf"), 0xFC00, 0xFF80, 0xFF800000),
        (1e300, 0x7C00, 0x7F80, 0x7F800000),
        (-1e300, 0xFC00, 0xFF80, 0xFF800000),
        (-1.0, 0xBC00, 0xBF80, 0xBF800000),
        (-0.0, 0x8000, 0x8000, 0x80000000),
    ],
)
def test_special_floats(call, value, half, bfloat, single):
    bits = call(0, False, value, value, value, 0.0, 0)
    assert [int(b) for b in bits[2:5]] == [half, bfloat, single]


def test_nan_stays_nan(call):
    nan = float("nan")
    bits = call(0, False, nan, nan, nan, nan, 0)
    assert np.isnan(bits[2:3].astype(np.uint16).view(np.float16)[0])
    assert bits[3] & 0x7FFF > 0x7F80
    assert np.isnan(bits[4:5].astype(np.uint32).view(np.float32)[0])
    assert np.isnan(bits[5:6].view(np.float64)[0])


def test_pointers_are_tensors_addresses_none_and_objects_with_data_ptr(call):
    class Wrapper:
        def data_ptr(self):
            return 0xABC0

    tensor = torch.zeros(3)[1:]
    values = [int(call(0, False, 0, 0, 0, 0, pointer)[6]) for pointer in (tensor, 77, None, Wrapper())]
    assert values == [tensor.data_ptr(), 77, 0, 0xABC0]


def test_numpy_scalars_and_booleans_are_numbers(call):
    bits = call(np.int16(-5), np.bool_(True), np.float32(1.5), 2, True, np.float64(0.25), 0)
    assert int(bits[0]) == (1 << 64) - 5
    assert [int(bits[i]) for i in (1, 2, 3, 4)] == [1, 0x3E00, 0x4000, 0x3F800000]
    assert bits[5:6].view(np.float64)[0] == 0.25


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, 1.5, "integer argument got 1.5"),
        (0, "four", "integer argument got 'four'"),
        (4, "four", "floating-point argument got 'four'"),
        (4, None, "floating-point argument got None"),
        (6, np.zeros(3), "not ndarray"),
        (6, torch.zeros(3, device="meta"), "pointer to memory on meta"),
    ],
)
def test_wrong_arguments_are_named(call, position, value, message):
    values = [0, False, 0.0, 0.0, 0.0, 0.0, 0]
    values[position] = value
    with pytest.raises(ArgumentError, match=message):
        call(*values)


def test_a_wrong_number_of_arguments_is_an_error(call):
    with pytest.raises(ArgumentError, match="3 arguments were given for 9 parameters"):
        call(1)


@pytest.mark.parametrize("kind", ["native", "python"])
def test_a_launch_without_a_loaded_function_is_an_error(echo, kind):
    fast = launch.launcher((Slot.INT,), ("i32",), "unloaded")
    chosen: Any = fast if kind == "native" else launch.Launcher((Slot.INT,), ("i32",), "unloaded")
    with pytest.raises(ArgumentError, match="unloaded: launched with the function None"):
        chosen(1, 1, 1, 0, None, None, None, None, None, 5)


def test_an_exception_of_data_ptr_reaches_the_caller(call):
    class Broken:
        def data_ptr(self):
            raise LookupError("storage is gone")

    with pytest.raises(LookupError, match="storage is gone"):
        call(0, False, 0, 0, 0, 0, Broken())


def test_tuples_and_descriptors_are_taken_apart(echo):
    class TensorDescriptor:
        base = torch.zeros(2, 3)
        shape = (2, 3)
        strides = (3, 1)
        padding = "nan"
        round_f32_to_tf32 = True

    tree = (Slot.POINTER, (Slot.INT, SKIP, (Slot.INT,)), Descriptor(2))
    arg_types = ("!tt.ptr<i64>",) + ("any",) * 13
    kernel = handwritten.function("nested", handwritten.ECHO, arg_types)
    call = launch.launcher(tree, arg_types, "nested")
    out = torch.zeros(14, dtype=torch.int64)
    call(
        *(1, 1, 1, 0, kernel.address, None, None, None, None),
        *(out, (5, "constexpr", (6,)), TensorDescriptor()),
    )
    assert out.tolist()[1:] == [5, 6, TensorDescriptor.base.data_ptr(), 2, 3, 3, 1, 1, 1, 2, 3, 3, 1]


class Sizes(NamedTuple):
    width: int
    scale: float
    memory: torch.Tensor
    constant: object
    last: int


@pytest.mark.parametrize("between", [True, False], ids=["argument between", "two in a row"])
def test_both_launchers_take_tuples_apart(between: bool) -> None:
    inner = (Slot.INT, Slot.F32, Slot.POINTER, SKIP, Slot.INT)
    tree = (Slot.POINTER, inner, *[Slot.INT] * between, (Slot.INT, SKIP), (), Slot.INT)
    arg_types = ("!tt.ptr<i64>",) + ("any",) * (6 + between)
    kernel = handwritten.function("tuples", handwritten.ECHO, arg_types)
    fast, general = launch.launcher(tree, arg_types, "t"), launch.Launcher(tree, arg_types, "t")
    assert type(fast).__name__ == "builtin_function_or_method"
    memory = torch.zeros(3)
    values = (Sizes(-7, 1.5, memory, "constant", 9), *[5] * between, (6, None), (), 8)
    expected = [-7, 0x3FC00000, memory.data_ptr(), 9, *[5] * between, 6, 8]
    for call in (fast, general):
        out = torch.zeros(7 + between, dtype=torch.int64)
        call(1, 1, 1, 0, kernel.address, None, None, None, None, out, *values)
        assert out.tolist()[1:] == expected


def test_native_code_is_told_of_values_and_flat_tuples_alone() -> None:
    kinds, skipped = (Slot.INT, SKIP, Slot.POINTER), (SKIP, SKIP)
    codes = bytes((Slot.POINTER, Slot.TUPLE, Slot.INT, Slot.TUPLE, 3, *kinds, 0))
    assert opcodes((Slot.POINTER, kinds, Slot.INT, (), *skipped)) == Opcodes(6, 4, 4, codes)
    for node in (Descriptor(1), ((Slot.INT,),), (Slot.INT,) * (MOST_VALUES + 1)):
        assert opcodes((Slot.POINTER, node)) is None


@pytest.mark.parametrize(
    ("given", "message"), [((1, 2, 3), "3 arguments.*2 parameters"), (4, "a tuple of 2")]
)
def test_what_does_not_fit_a_tuple_is_refused(given: object, message: str) -> None:
    tree, arg_types = (Slot.POINTER, (Slot.INT, Slot.INT)), ("!tt.ptr<i64>", "any", "any")
    kernel = handwritten.function("pair", handwritten.ECHO, arg_types)
    call = launch.launcher(tree, arg_types, "pair")
    with pytest.raises(ArgumentError, match=message):
        call(1, 1, 1, 0, kernel.address, None, None, None, None, torch.zeros(3), given)


def test_descriptors_without_rounding_flag_are_recognised_by_the_number_of_slots():
    class TensorDescriptor:
        base = torch.zeros(4)
        shape = (4,)
        strides = (1,)
        padding = "zero"

    arg_types = ("!tt.ptr<i64>",) + ("any",) * 6
    kernel = handwritten.function("older", handwritten.ECHO, arg_types)
    call = launch.launcher((Slot.POINTER, Descriptor(1)), arg_types, "older")
    out = torch.zeros(7, dtype=torch.int64)
    call(1, 1, 1, 0, kernel.address, None, None, None, None, out, TensorDescriptor())
    assert out.tolist()[1:] == [TensorDescriptor.base.data_ptr(), 4, 1, 0, 4, 1]


def test_a_signature_that_does_not_fit_the_function_is_refused():
    with pytest.raises(ArgumentError, match=r"takes 2 values \(i32, i64\), its signature gives 1"):
        launch.launcher((Slot.INT,), ("i32", "i64"), "misfit")


@pytest.mark.parametrize("kind", ["native", "python"])
def test_launches_leave_reference_counts_as_they_were(echo, kind):
    fast = launch.launcher(TREE, echo.arg_types, "echo")
    chosen: Any = fast if kind == "native" else launch.Launcher(TREE, echo.arg_types, "echo")
    out = torch.zeros(1 + len(KINDS), dtype=torch.int64)
    big, real, tensor, text = 1 << 62, 0.123, torch.zeros(3), "constexpr text"
    watched = (big, real, tensor, text, out, chosen, echo.name)
    before = [sys.getrefcount(item) for item in watched]
    for _ in range(1000):
        chosen(
            *(1, 1, 1, 0, echo.address, None, None, None, None, out, text),
            *(big, True, real, real, real, real, tensor),
        )
    assert [sys.getrefcount(item) for item in watched] == before

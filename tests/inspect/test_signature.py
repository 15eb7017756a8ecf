"""Types and constants of a kernel: said, declared, or guessed from how a parameter is used."""

import pytest
import triton
import triton.language as tl

from anychip.inspect.errors import InspectionError
from anychip.inspect.signature import pairs, parse_constant, settle


@triton.jit
def layer_norm(X, Y, W, Mean, stride, N, eps, BLOCK_SIZE: tl.constexpr):
    row = tl.program_id(0)
    Y += row * stride
    X += row * stride
    cols = tl.arange(0, BLOCK_SIZE)
    x = tl.load(X + cols, mask=cols < N)
    w = tl.load(W + cols, mask=cols < N)
    tl.store(Mean + row, tl.sum(x, axis=0) / N + eps)
    tl.store(Y + cols, x * w, mask=cols < N)


@triton.jit
def matmul(a_ptr, b_ptr, K, stride_am, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, IS_CAUSAL: tl.constexpr):
    rows = tl.arange(0, BLOCK_M)
    a_ptrs = a_ptr + rows * stride_am
    tl.store(b_ptr + rows, tl.load(a_ptrs))


@triton.autotune(configs=[triton.Config({"BLOCK": 512}, num_warps=8, num_stages=2)], key=[])
@triton.jit
def tuned(x_ptr: "*fp16", n: tl.int64, BLOCK: tl.constexpr, SCALE: tl.constexpr = 2.5):  # pyright: ignore  # types of Triton
    tl.store(x_ptr + tl.arange(0, BLOCK), SCALE)


@triton.jit
def unguessable(x_ptr, ACTIVATION: tl.constexpr):
    tl.store(x_ptr, 0)


@triton.jit
def locked(X, Lock, Count, N, num_stages: tl.constexpr):
    Lock += tl.program_id(0)
    while tl.atomic_cas(Lock, 0, 1) == 1:
        pass
    tl.store(X, tl.load(X) + N)
    tl.atomic_xchg(Count, 1)
    tl.atomic_xchg(Lock, 0)


def test_locks_are_pointers_to_integers() -> None:
    signature = settle(locked, {}, {})
    assert signature.types == {
        "X": "*fp32",
        "Lock": "*i32",
        "Count": "*i32",
        "N": "i32",
        "num_stages": "constexpr",
    }
    assert signature.constants == {"num_stages": 2}


def test_pointers_are_found_by_their_use() -> None:
    signature = settle(layer_norm, {}, {})
    assert signature.types == {
        "X": "*fp32",
        "Y": "*fp32",
        "W": "*fp32",
        "Mean": "*fp32",
        "stride": "i32",
        "N": "i32",
        "eps": "fp32",
        "BLOCK_SIZE": "constexpr",
    }
    assert signature.constants == {"BLOCK_SIZE": 1024}
    assert set(signature.assumed) == set(signature.types)


def test_several_tile_sizes_are_smaller_than_a_single_one() -> None:
    signature = settle(matmul, {}, {})
    assert signature.constants == {"BLOCK_M": 64, "BLOCK_K": 64, "IS_CAUSAL": False}
    assert signature.types["stride_am"] == "i32"


def test_what_is_said_wins() -> None:
    said = {"a_ptr": "*bf16", "stride_am": "1", "K": "i64:16"}
    signature = settle(matmul, said, {"BLOCK_M": "16"})
    assert signature.types["a_ptr"] == "*bf16"
    assert signature.types["K"] == "i64"
    assert signature.constants["stride_am"] == 1
    assert signature.constants["BLOCK_M"] == 16
    assert {"a_ptr", "K", "b_ptr"} <= set(signature.aligned)
    assert not {"a_ptr", "K", "stride_am", "BLOCK_M"} & set(signature.assumed)


def test_annotations_defaults_and_the_autotuner_need_no_guess() -> None:
    signature = settle(tuned, {}, {})
    assert signature.types == {"x_ptr": "*fp16", "n": "i64", "BLOCK": "constexpr", "SCALE": "constexpr"}
    assert signature.constants == {"BLOCK": 512, "SCALE": 2.5}
    assert signature.options == {"num_warps": 8, "num_stages": 2}
    assert signature.assumed == ()


def test_unknown_constant_is_asked_for() -> None:
    with pytest.raises(InspectionError, match="--const ACTIVATION=VALUE"):
        settle(unguessable, {}, {})


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(InspectionError, match="Did you mean stride_am"):
        settle(matmul, {"stride_an": "i32"}, {})


def test_bad_type_lists_the_types() -> None:
    with pytest.raises(InspectionError, match="not a type"):
        settle(matmul, {"a_ptr": "*float"}, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("-1.5", -1.5), ("True", True), ("None", None), ("relu", "relu"), ("(1, 2)", (1, 2))],
)
def test_constants_as_written(text: str, value: object) -> None:
    assert parse_constant(text) == value


def test_constant_element_type() -> None:
    assert parse_constant("tl.bfloat16") is tl.bfloat16
    with pytest.raises(InspectionError, match="not an element type"):
        parse_constant("tl.exp")


def test_pairs_refuse_what_is_no_pair() -> None:
    assert pairs(["a=*fp16", "b=x=y"], "--sig") == {"a": "*fp16", "b": "x=y"}
    assert pairs(["ACTIVATION="], "--const") == {"ACTIVATION": ""}
    for argument in ("a", "=1", "1a=2", "a="):
        with pytest.raises(InspectionError, match="expected name=value"):
            pairs([argument], "--sig")

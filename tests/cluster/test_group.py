"""The group `anychip` on two ranks: every collective with every type, and what PyTorch's gloo gets wrong or
lacks. One job of two processes tells all of it (`facts.py`); each test reads one fact."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from anychip.cluster.dtypes import MOVED_ONLY, REDUCTIONS
from tools.cluster import job
from tools.cluster.matrix import DTYPES, OPERATIONS

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this PyTorch has no gloo")


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    ended = job.run(["-m", "tests.cluster.facts", "3x2"], 2, 240)
    return [json.loads(each.output.splitlines()[-1]) for each in ended]


def has_reduction(dtype: torch.dtype, operation: str) -> bool:
    """Whether PyTorch's own operators define it: the oracle of what is refused."""
    if dtype in MOVED_ONLY:
        return False
    if dtype in (torch.uint16, torch.uint32, torch.uint64):
        dtype = torch.int64  # PyTorch stores these, and computes in others
    if dtype.is_floating_point and dtype.itemsize == 1:
        dtype = torch.float32
    one = torch.ones(2, dtype=torch.complex64 if dtype is torch.complex32 else dtype)
    functions = {
        "SUM": torch.add,
        "PRODUCT": torch.mul,
        "MIN": torch.minimum,
        "MAX": torch.maximum,
        "BAND": torch.bitwise_and,
        "BOR": torch.bitwise_or,
        "BXOR": torch.bitwise_xor,
        "AVG": lambda a, b: torch.mean(torch.stack([a, b]), 0),
    }
    try:
        functions[operation](one, one)
    except (RuntimeError, NotImplementedError):
        return False
    return not (dtype.is_complex and operation == "PRODUCT")  # `all_reduce` itself refuses it


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_every_collective_of_a_type_is_exact_or_refused(
    dtype: torch.dtype, told: list[dict[str, Any]]
) -> None:
    short = str(dtype).removeprefix("torch.")
    for rank, facts in enumerate(told):
        mine = {name: value for name, value in facts["matrix"].items() if f"/{short}/" in name}
        assert len(mine) == 3 * (len(OPERATIONS) + 11)
        for name, value in mine.items():
            collective = name.split("/")[0]
            reduces = collective.startswith(("all_reduce", "reduce"))
            operation = collective.split()[1] if " " in collective else "SUM"
            if reduces and not has_reduction(dtype, operation):
                assert value.startswith(("CollectiveError", "ValueError: all_reduce does not support")), (
                    rank,
                    name,
                )
            else:
                assert value == "right", (rank, name)


def test_every_type_of_pytorch_has_a_row() -> None:
    numbers = {
        value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype) and not name.startswith(("q", "bits"))
    }
    packed = {dtype for dtype in numbers if str(dtype).removeprefix("torch.").startswith(("int", "uint"))}
    whole_bytes = {torch.int8, torch.int16, torch.int32, torch.int64}
    whole_bytes |= {torch.uint8, torch.uint16, torch.uint32, torch.uint64}
    assert numbers - (packed - whole_bytes) == {*REDUCTIONS, *MOVED_ONLY}


def test_every_rank_says_its_chip(told: list[dict[str, Any]]) -> None:
    members = told[0]["members"]
    assert members == told[1]["members"]
    assert [member[0] for member in members] == [0, 1]
    assert [member[3] for member in members] == [facts["process"] for facts in told]
    assert all(member[1] and member[2] for member in members)


def test_a_sum_of_bools_stays_true_however_often(told: list[dict[str, Any]]) -> None:
    for facts in told:
        assert facts["bools_stay_true"] == [[True, True, False], [1, 1, 0]]


def test_a_mean_of_integers_is_refused_before_anything_is_written(told: list[dict[str, Any]]) -> None:
    for facts in told:
        message, untouched = facts["a_mean_of_integers_is_refused_untouched"]
        assert "AVG of int64" in message
        assert "torch.mean" in message
        assert untouched


def test_memory_that_elements_share_is_not_written(told: list[dict[str, Any]]) -> None:
    for facts in told:
        refusals = dict(facts["overlap_is_refused"])
        assert "share memory" in refusals["expanded"]
        assert "share memory" in refusals["windows"]
        assert refusals["lattice"] == ""
        assert "tensors 0 and 1" in refusals["rows"]
        assert facts["an_expanded_tensor_may_be_read"] == [[0.0] * 4, [1.0] * 4]


def test_one_element_of_any_stride(told: list[dict[str, Any]]) -> None:
    assert all(facts["one_element_of_any_stride"] == [[5.0]] for facts in told)


def test_least_and_greatest_keep_a_nan_of_any_rank(told: list[dict[str, Any]]) -> None:
    assert all(facts["a_nan_is_not_lost"] for facts in told)


def test_small_floats_are_summed_wide_and_rounded_once(told: list[dict[str, Any]]) -> None:
    for facts in told:
        assert len(facts["small_floats_are_rounded_once"]) == 4
        assert not any(facts["small_floats_are_rounded_once"].values())


def test_large_tensors_go_in_pieces(told: list[dict[str, Any]]) -> None:
    assert all(facts["many_pieces"] == [True, True, True] for facts in told)


def test_a_device_with_memory_of_its_own_and_a_host(told: list[dict[str, Any]]) -> None:
    names = {"all_reduce", "mean of bf16", "broadcast", "all_gather", "reduce_scatter"}
    assert told[0]["a_device_and_the_host"] == dict.fromkeys(names, True)
    assert told[1]["a_device_and_the_host"] == dict.fromkeys({*names, "send"}, True)


def test_messages_may_cross(told: list[dict[str, Any]]) -> None:
    assert all(facts["messages_cross"] == [True, 1] for facts in told)


def test_objects_and_smaller_groups(told: list[dict[str, Any]]) -> None:
    for facts in told:
        gathered, total, made, backend = facts["objects_and_groups"]
        assert gathered == [{"rank": 0}, {"rank": 1}]
        assert (total, made, backend) == (1.0, True, "anychip")


def test_functional_collectives(told: list[dict[str, Any]]) -> None:
    assert all(facts["functional_collectives"] == [True, True, True] for facts in told)


def test_unequal_shards_train_as_one_process_does(told: list[dict[str, Any]]) -> None:
    for facts in told:
        shards = facts["shards_of_unequal_size"]
        assert shards["sizes"] == [9, 3]
        assert shards["losses"] == pytest.approx(shards["expected"], rel=1e-6)
        assert shards["difference"] < 1e-6
    assert [facts["shards_of_unequal_size"]["by count"] for facts in told] == [3.0, 1.5]


@pytest.fixture(scope="module")
def told_slowly() -> list[dict[str, Any]]:
    ended = job.run(["-m", "tests.cluster.facts", "1x1", "slow"], 2, 240)
    return [json.loads(each.output.splitlines()[-1]) for each in ended]


@pytest.mark.slow
def test_a_pipeline_of_unequal_stages_has_the_loss_of_one_process(told_slowly: list[dict[str, Any]]) -> None:
    for told in told_slowly:
        facts = told["stages_of_unequal_size"]
        assert facts["layers"] == [4, 2]
        assert facts["loss"] == pytest.approx(facts["expected"], rel=1e-6)
        assert facts["off"] < 1e-6


@pytest.mark.slow
def test_fsdp2_trains_as_one_process_does(told_slowly: list[dict[str, Any]]) -> None:
    for told in told_slowly:
        facts = told["fully_sharded"]
        assert facts["f32"] == pytest.approx(facts["expected"], rel=1e-6)
        assert facts["bf16"] == pytest.approx(facts["expected"], rel=2e-2)

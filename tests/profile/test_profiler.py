"""Profilers of this process: what they count, beside arithmetic and PyTorch's own counts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import anychip
from anychip.profile.buffers import source
from anychip.profile.profiler import Profiler
from anychip.profile.trace import trace
from anychip.runtime import launches, native

HEADS, LENGTH, WIDTH = 2, 64, 16


@pytest.fixture(autouse=True)
def strict() -> object:
    with anychip.using("strict"):
        yield


def test_every_launch_is_counted_natively_and_from_python() -> None:
    x = torch.randn(33, 70)
    before = launches.count()
    with Profiler(frames=False) as profiler:
        for _ in range(6):
            torch.softmax(x + 1, 1)
    made = launches.count() - before
    profile = profiler.profile()
    assert sum(row.launches for row in profile.kernels) == made
    calls = {row.overload: row.calls for row in profile.operators}
    assert calls["_softmax"] == 6
    assert sum(calls.values()) == 12
    by_kernel = {row.kernel: row for row in profile.kernels}
    assert by_kernel["softmax_kernel"].operators == ("_softmax",)
    assert not native.state().state.events
    assert all(row.seconds >= row.kernel_seconds > 0 for row in profile.operators)


def test_an_inner_profiler_takes_nothing_from_the_outer() -> None:
    x = torch.randn(8, 8)
    with Profiler(frames=False) as outer:
        torch.exp(x)
        with Profiler(frames=False) as inner, torch.profiler.record_function("mine"):
            torch.tanh(x)
        torch.sin(x)
    assert {row.overload for row in outer.profile().operators} == {"exp", "tanh", "sin"}
    assert {row.overload for row in inner.profile().operators} == {"tanh"}
    assert [name for name, _, _ in outer.profile().ranges] == ["mine"]
    assert source._sinks == []


def test_the_programs_own_profiler_sees_all_and_ours_says_so() -> None:
    x = torch.randn(8, 8)
    with Profiler(operators=True, frames=False) as ours:
        torch.exp(x)
        with torch.profiler.profile() as theirs:
            torch.tanh(x)
        torch.sin(x)
    assert "aten::tanh" in {event.name for event in theirs.events() or ()}
    seen = {span.name for span in ours.pytorch_spans}
    assert {"aten::exp", "aten::sin"} <= seen
    assert any("of the program's own" in text for text in ours.profile().left_out)


def attention() -> int:
    q = torch.randn(1, HEADS, LENGTH, WIDTH)
    torch.nn.functional.scaled_dot_product_attention(q, q, q)
    return 2 * 2 * HEADS * LENGTH * LENGTH * WIDTH


def recurrent() -> int:
    torch.nn.LSTM(16, 32, batch_first=True)(torch.randn(2, 8, 16))
    return 2 * 4 * 32 * (16 + 32) * 2 * 8


def integers() -> int:
    x = torch.randint(-8, 8, (32, 64), dtype=torch.int8)
    torch.ops.aten._int_mm(x, x.T.contiguous())
    return 2 * 32 * 32 * 64


@pytest.mark.parametrize("work", [attention, recurrent, integers])
def test_work_that_pytorch_counts_as_none_is_counted(work: Callable[[], int]) -> None:
    """PyTorch's counter has no formula for these on a CPU; `work` gives the operations of its products."""
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        work()
    with torch.no_grad(), Profiler(frames=False) as profiler:
        products = work()
    counted = [row.operations for row in profiler.profile().kernels]
    assert theirs.get_total_flops() == 0
    assert None not in counted
    assert sum(number or 0 for number in counted) >= products


def test_what_falls_through_is_said() -> None:
    with anychip.using("portable", exclude=["sinh"]), Profiler(frames=False) as profiler:
        torch.exp(torch.randn(4))
    assert not any("exp" in text for text in profiler.profile().left_out)


def test_the_trace_has_kernels_inside_of_their_operators() -> None:
    x = torch.randn(16, 16)
    torch.exp(x)
    with Profiler() as profiler, torch.profiler.record_function("range of mine"):
        torch.exp(x)
    made = json.loads(json.dumps(trace(profiler)))
    by_category: dict[str, list[dict[str, float]]] = {}
    for event in made["traceEvents"]:
        by_category.setdefault(event.get("cat", event["ph"]), []).append(event)
    operator, kernel = by_category["operator"][0], by_category["kernel"][0]
    assert operator["ts"] <= kernel["ts"]
    assert kernel["ts"] + kernel["dur"] <= operator["ts"] + operator["dur"] + 1e-3
    assert by_category["range"][0]["name"] == "range of mine"
    assert by_category["C"][0]["args"]["resident MiB"] > 1  # pyright: ignore[reportIndexIssue]

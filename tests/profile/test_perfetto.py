"""A trace as Perfetto's own trace processor reads it.

Its package fetches the program that reads when it is first used; PERFETTO_TRACE_PROCESSOR may name one
that is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import anychip
from anychip.profile.profiler import Profiler
from anychip.profile.trace import trace

pytestmark = pytest.mark.slow


@pytest.fixture
def processor(tmp_path: Path) -> Any:
    """The trace of some operators, loaded."""
    perfetto = pytest.importorskip("perfetto.trace_processor")
    x = torch.randn(16, 16)
    with (
        anychip.using("strict"),
        Profiler(operators=True) as profiler,
        torch.profiler.record_function("mine"),
    ):
        torch.softmax(x @ x, 1)
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(trace(profiler)))
    binary = os.environ.get("PERFETTO_TRACE_PROCESSOR")
    try:
        config = perfetto.TraceProcessorConfig(bin_path=binary)
        opened = perfetto.TraceProcessor(trace=str(file), config=config)
    except Exception as error:  # no network, no program for this machine
        pytest.skip(f"Perfetto's trace processor cannot be had: {error}")
    yield opened
    opened.close()


def test_perfetto_reads_every_event_and_nests_kernels_in_operators(processor: Any) -> None:
    errors = processor.query("select name, value from stats where severity = 'error' and value > 0")
    assert [(row.name, row.value) for row in errors] == []
    rows = processor.query(
        "select s.name as name, p.name as parent from slice s left join slice p on s.parent_id = p.id "
        "where s.category = 'kernel'"
    )
    assert {(row.name, row.parent) for row in rows} == {
        ("matmul_kernel", "mm"),
        ("softmax_kernel", "_softmax"),
    }
    names = {
        row.name for row in processor.query("select distinct name from slice where category = 'PyTorch'")
    }
    assert {"aten::mm", "aten::_softmax"} <= names
    counters = {row.name for row in processor.query("select distinct name from counter_track")}
    assert any("resident" in name for name in counters)

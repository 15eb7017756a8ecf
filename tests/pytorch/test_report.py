"""The report of compiled models, and its form in notebooks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import anychip
from anychip.pytorch import graphs
from anychip.pytorch.report import FallThroughRow, GraphRow, Report, ServedRow
from anychip.pytorch.report_page import page

MODULE = '''
from torch._inductor.select_algorithm import extern_kernels
aten = torch.ops.aten
kernel = async_compile.triton("triton_poi_fused_sin_0", """
def triton_poi_fused_sin_0(x): extern_kernels.never(x)
""")

class Runner:
    def call(self, args):
        buf0 = empty_strided_cpu((8, 8), (8, 1), torch.float32)
        extern_kernels.addmm(arg0, arg1, buf0, alpha=1, beta=1, out=buf0)
        triton_poi_fused_sin_0.run(buf0, 64, stream=stream0)
        triton_poi_fused_sin_0.run(buf0, 64, stream=stream0)
        buf1 = torch.ops.anychip.mm.default(buf0, buf0)
        buf2 = torch.ops.aten.linalg_inv_ex.default(buf1)
        cpp_fused_add_1(buf1)
        return (reinterpret_tensor(buf1, (8,), (1,), 0), aten.sort.stable(buf2))
'''


def test_calls_are_read_from_the_module() -> None:
    """Text inside of kernels is none of the module's calls."""
    assert graphs.calls_of(MODULE) == (
        Counter({"triton_poi_fused_sin_0": 2}),
        Counter({"mm": 1}),
        Counter({"addmm": 1, "linalg_inv_ex": 1, "cpp_fused_add_1": 1, "sort": 1}),
    )


@pytest.fixture
def none_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "graphs", [])
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def test_a_compiled_function_is_reported(none_before: None) -> None:
    """Two graphs with a break between: what is ours, what stayed PyTorch's, and why."""

    def function(x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.inv(x @ x).sin()
        torch._dynamo.graph_break()
        return y.cos() * 2

    run = torch.compile(function, backend="anychip")
    x = torch.eye(4, dtype=torch.float64) + 0.1
    for _ in range(3):
        torch.testing.assert_close(run(x), function(x))
    first, second = anychip.report().graphs
    assert (first.calls, second.calls) == (3, 3)
    assert min(first.compiling, second.compiling, first.milliseconds) > 0
    assert [name for name, _ in first.fused] == ["triton_poi_fused_sin_0"]
    reasons = {name: reason for name, reason, _ in first.foreign}
    assert "float64" in reasons["mm"]
    assert reasons["linalg_inv_ex"] == graphs.NO_KERNEL
    assert "PyTorch's own kernel" in first.replay
    assert (second.foreign, second.replay) == ((), "replayed in one call")
    assert anychip.report().breaks
    text = str(anychip.report(reset=True))
    assert "compile s" in text
    assert f"PyTorch's: linalg_inv_ex x1 ({graphs.NO_KERNEL})" in text
    assert "graph break x1" in text
    assert [row.calls for row in anychip.report().graphs] == [0, 0]


def test_all_that_programs_name_is_escaped() -> None:
    bad = "<script>&"
    served = ServedRow(bad, bad, 1, 2.0, ((bad, 3),))
    graph = GraphRow(bad, 1, 2.0, 3.0, ((bad, 1),), ((bad, 1),), ((bad, bad, 1),), bad)
    made = Report((served,), (FallThroughRow(bad, bad, 1),), (), (), (graph,), ((bad, 1),))
    for text in (made._repr_html_(), page(made, ["python", bad])):
        assert "<script" not in text
        assert text.count("&lt;script&gt;&amp;") >= 11

"""`torch.compile` with Inductor's Triton code generation for the CPU runs on our back end."""

from __future__ import annotations

import pytest
import torch

from anychip.runtime import launches

inductor_config = pytest.importorskip("torch._inductor.config")


def test_inductor_generates_triton_for_the_cpu():
    def fused(x, y):
        return torch.softmax(x * 2 + y.sin(), -1)

    with inductor_config.patch(cpu_backend="triton", compile_threads=1, force_disable_caches=True):
        torch._dynamo.reset()
        compiled = torch.compile(fused)
        x, y = torch.randn(2, 65, 300)
        with launches.record() as seen:
            result = compiled(x, y)
    torch.testing.assert_close(result, fused(x, y))
    assert any(launch.kernel.startswith("triton_") for launch in seen)

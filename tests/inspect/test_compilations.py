"""Kernels are heard of as Triton compiles them or takes them from its cache."""

from __future__ import annotations

from anychip.doctor import kernel
from anychip.inspect.compilations import compilations


def test_listening_tells_compiled_from_cached() -> None:
    kernel.doctor_kernel.device_caches.clear()
    with compilations() as first:
        kernel.run()
    kernel.doctor_kernel.device_caches.clear()
    with compilations() as second:
        kernel.run()
    (made,), (found,) = first, second
    assert made.kernel == found.kernel == "doctor_kernel"
    assert found.from_cache
    assert found.code_seconds == 0
    assert found.load_seconds > 0
    assert "tt.func" in found.ttir
    assert found.ttir == made.ttir

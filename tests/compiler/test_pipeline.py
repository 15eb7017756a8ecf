"""Compiling leaves Python's collector of cycles as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from tests.kernels import elementwise
from tests.ttir import ttir_of

from anychip.compiler import targets
from anychip.compiler.pipeline import compile_ttir

SIGNATURE = {"x_ptr": "*fp32", "y_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32", "BLOCK": "constexpr"}


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.isenabled()
    yield
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_stays_as_it_was(enabled: bool, collector: None) -> None:
    text = ttir_of(elementwise.add, SIGNATURE, {"BLOCK": 64})
    (gc.enable if enabled else gc.disable)()
    compile_ttir(text, targets.host())
    assert gc.isenabled() is enabled

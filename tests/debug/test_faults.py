"""Every planted fault is found, at the argument and element that are wrong; right launches show nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.debug import kernels
from tests.debug.clean import CLEAN
from tests.debug.faults import FAULTS, SELDOM, Fault

from anychip.compiler.codegen.check_table import Check
from anychip.debug.collecting import Collector
from anychip.debug.written import following
from anychip.runtime import checks
from anychip.triton_backend import activate, sanitizer


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Launches with every check; what they find is gathered."""
    activate()
    monkeypatch.setattr(sanitizer, "wanted", lambda: frozenset(Check))
    found = Collector()
    with checks.listening(found.add), following():
        yield found


def test_there_are_sixty() -> None:
    assert len(FAULTS) >= 60
    assert {fault.check for fault in FAULTS} == set(Check)
    assert {fault.check for fault in FAULTS if fault.name not in SELDOM} == set(Check)
    assert {fault.name for fault in FAULTS} | set(CLEAN) >= SELDOM


def marks(name: str) -> Any:
    return pytest.mark.slow if name in SELDOM else ()


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name.replace(" ", "-"), marks=marks(fault.name)) for fault in FAULTS],
)
def test_a_fault_is_found(fault: Fault, collector: Collector) -> None:
    fault.launch()
    found = [
        f for f in collector.findings if (f.site.check, f.site.argument) == (fault.check, fault.argument)
    ]
    assert found, [str(f) for f in collector.findings]
    first = found[0]
    assert fault.wrong_at is None or first.index == fault.wrong_at
    file, _, line = first.site.place.rpartition(":")
    assert Path(file) == Path(kernels.__file__)
    source = Path(file).read_text().splitlines()[int(line) - 1]
    words = ("tl.load", "tl.store", "tl.atomic", "make_tensor_descriptor", "source.load", "target.store")
    assert any(word in source for word in words)
    others = {f.site.check for f in collector.findings} - {fault.check}
    assert others <= _FOLLOWS.get(fault.check, set()), [str(f) for f in collector.findings]


_FOLLOWS = {
    Check.OVERFLOW: {Check.BOUNDS, Check.RACE},
    Check.BOUNDS: {Check.NONFINITE, Check.RACE},
    Check.UNINITIALISED: {Check.NONFINITE},
}
"""What a fault may be found as besides."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in CLEAN])
def test_a_right_launch_shows_nothing(name: str, collector: Collector) -> None:
    CLEAN[name]()
    assert [str(finding) for finding in collector.findings] == []

"""A pytest plugin that runs a third party's suite, unmodified, and writes one line of JSON for each case.

It supplies names that a suite imports and the installed version has renamed, and keeps the cases of no more
than `ECOSYSTEM_ELEMENTS` elements. Of these it runs every Nth, as `ECOSYSTEM_EVERY` says; of those that
`ECOSYSTEM_LARGE` names every `ECOSYSTEM_LARGE_EVERY`th, and of those that `ECOSYSTEM_WITHOUT` names none. It
ends a case after `ECOSYSTEM_SECONDS`, and appends to the file that `ECOSYSTEM_RECORDS` names. A case that
was begun and has no record ended its process.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import re
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

CUDA = re.compile(r"(?<![a-zA-Z])cuda(?![a-zA-Z])", re.IGNORECASE)
SIDES = re.compile(r"(?<![A-Za-z0-9])[BTHD](\d+)")
PACKED = re.compile(r"cu_seqlens\[([\d, ]+)\]")
SKIP_CALLS = re.compile(r"(pytest\.skip|skipif|skipIf)\([^)]*\)")

RENAMED: tuple[tuple[str, str, str], ...] = (
    ("torch._inductor.codecache", "cpp_prefix_path", "functools.cache"),
    ("torch._inductor.compile_fx", "complex_memory_overlap", "torch._inductor.utils.complex_memory_overlap"),
    ("torch.testing._internal.triton_utils", "requires_cuda", "unittest.skip"),
)
"""Module, a name that earlier releases of a suite import from it, and what stands in for the name. None of
them is reached by a case of the back end under test: the import must succeed, no more."""


def supply_missing_names() -> None:
    """Let suites of other releases be imported."""
    for module_name, name, substitute in RENAMED:
        module = importlib.import_module(module_name)
        if not hasattr(module, name):
            package, _, attribute = substitute.rpartition(".")
            setattr(module, name, getattr(importlib.import_module(package), attribute, None))


def name_the_cpu(module_name: str) -> None:
    """Tell a suite that its tensors are on the CPU, where it knows that only by a variable of its own."""
    import torch

    for name in (module_name, f"{module_name}._device"):
        module = importlib.import_module(name)
        vars(module).update(device="cpu", device_torch_lib=torch.cpu)


def elements(case: str) -> int:
    """How many elements the tensors of a case have, as far as its name tells: batch, length, heads, size."""
    sides = (int(side) for side in SIDES.findall(case))
    packed = PACKED.search(case)
    return math.prod(sides) * (int(packed[1].split(",")[-1]) if packed else 1)


def prepare() -> None:
    """Before a suite's own files are imported, which take names from the modules that are changed here."""
    if os.environ.get("ECOSYSTEM_RENAMED"):
        supply_missing_names()
    if module := os.environ.get("ECOSYSTEM_DEVICE"):
        name_the_cpu(module)


prepare()


class CaseTimeout(BaseException):
    """A case took longer than it may. Not an Exception, so that no suite's own handler takes it."""


def write(record: dict[str, Any]) -> None:
    with open(os.environ["ECOSYSTEM_RECORDS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def finished() -> set[str]:
    """The cases that have a record, or that ended an earlier process."""
    path = os.environ["ECOSYSTEM_RECORDS"]
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return {line.get("case") or line.get("begun") for line in lines if "case" in line or "begun" in line}


def names_cuda(item: pytest.Item) -> bool:
    """Whether the source of a case's function spells CUDA, other than in a condition for skipping."""
    try:
        source = inspect.getsource(getattr(item, "function"))  # noqa: B009 (not every item has one)
    except (AttributeError, OSError, TypeError):
        return False
    return CUDA.search(SKIP_CALLS.sub("", source)) is not None


def is_asked(index: int, case: str) -> bool:
    """Whether the case at this place among those of the right size is one to run."""
    every = os.environ.get("ECOSYSTEM_EVERY", "1")
    large, without = (os.environ.get(name, "") for name in ("ECOSYSTEM_LARGE", "ECOSYSTEM_WITHOUT"))
    if without and re.search(without, case):
        return False
    if large and re.search(large, case):
        every = os.environ.get("ECOSYSTEM_LARGE_EVERY", every)
    return index % int(every) == 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    largest = float(os.environ.get("ECOSYSTEM_ELEMENTS", "inf"))
    sized = [item for item in items if elements(item.nodeid) <= largest]
    write({"collected": len(sized)})
    done = finished()
    items[:] = [item for n, item in enumerate(sized) if is_asked(n, item.nodeid) and item.nodeid not in done]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is one failed case."""
    if report.failed and report.nodeid not in finished():
        reason = str(report.longrepr)
        write(_record(report.nodeid, "failed", reason, "CUDA" in reason, 0))


def _alarm(number: int, frame: FrameType | None) -> None:
    raise CaseTimeout(f"not done after {os.environ['ECOSYSTEM_SECONDS']} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    write({"begun": item.nodeid})
    item.user_properties.append(("cuda", names_cuda(item)))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, float(os.environ["ECOSYSTEM_SECONDS"]))
    try:
        return (yield)
    except CaseTimeout as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _record(case: str, outcome: str, reason: str, cuda: bool, seconds: float) -> dict[str, Any]:
    return {
        "case": case,
        "outcome": outcome,
        "reason": reason[-3000:],
        "cuda": cuda,
        "seconds": round(seconds, 2),
    }


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr or "")


def _outcome(report: pytest.TestReport) -> str:
    if "Unexpected success" in str(report.longrepr or "")[:40]:
        return "xpassed"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.outcome == "skipped" else "xpassed"
    return report.outcome


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One record for each case: its call, or the step around it that failed or skipped it."""
    if report.when == "call" or report.outcome != "passed":
        outcome = _outcome(report)
        reason = "" if outcome in ("passed", "xpassed") else _reason(report)
        cuda = bool(dict(report.user_properties).get("cuda"))
        write(_record(report.nodeid, outcome, reason, cuda, report.duration))

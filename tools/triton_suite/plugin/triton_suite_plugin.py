"""A pytest plugin that runs Triton's own test suite on an installed wheel, unmodified.

It supplies what the suite imports and a plain wheel lacks (`is_cpu`, which answers no, so that nothing is
skipped in our favour), and writes one line of JSON for each finished case to the file named by
`CONFORMANCE_RECORDS`. With `CONFORMANCE_SAMPLE=n` it keeps n cases of each test function.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import re

import pytest

LITERALS = ("ptx", "amdgcn", "ttgir", "llir", "cuda", "hip", "xpu", "gluon")
"""Words of a test's source that tie it to one back end, each looked for as a word of its own."""


def supply_missing_names() -> None:
    """Give `triton._internal_testing` the names that the suite imports from it."""
    import triton._internal_testing as testing

    if not hasattr(testing, "is_cpu"):
        testing.__dict__["is_cpu"] = lambda: False


supply_missing_names()


def literals_of(function: object) -> list[str]:
    """Which of `LITERALS` the source of a test function spells, as a string of its own or as an attribute."""
    try:
        source = inspect.getsource(function)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return []
    source = re.sub(r"is_(cuda|hip|xpu)\w*|check_cuda_or_hip|hip_\w+|pytest\.skip\([^)]*\)", "", source)
    return [word for word in LITERALS if re.search(rf"(?<![a-zA-Z]){word}(?![a-zA-Z])", source)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note what each test's source names; keep a sample where one is asked for, and what is not done yet."""
    write({"collected": len(items)}, only_from="gw0")
    found: dict[object, list[str]] = {}
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        function = getattr(item, "function", None)
        if function not in found:
            found[function] = literals_of(function)
        item.user_properties.append(("literals", found[function]))
        groups.setdefault(item.nodeid.split("[")[0], []).append(item)
    size = int(os.environ.get("CONFORMANCE_SAMPLE", "0"))
    chosen = [random.Random(size).sample(g, min(size, len(g))) if size else g for g in groups.values()]
    done = recorded_cases()
    items[:] = [item for group in chosen for item in group if item.nodeid not in done]


def recorded_cases() -> set[str]:
    """The cases that an earlier, unfinished run has records of: they are not run again."""
    path = os.environ.get("CONFORMANCE_RECORDS")
    if not path or not os.path.exists(path) or not os.environ.get("CONFORMANCE_RESUME"):
        return set()
    with open(path, encoding="utf-8") as file:
        return {case for line in file if (case := json.loads(line).get("case"))}


def write(record: dict[str, object], only_from: str = "") -> None:
    """Append a record; from the process that has all of them, or from one worker of several."""
    path = os.environ.get("CONFORMANCE_RECORDS")
    if path and os.environ.get("PYTEST_XDIST_WORKER", only_from) == only_from:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is one failed case."""
    if report.failed:
        reason = str(report.longrepr)[-2000:]
        literals = ["cuda"] if "CUDA" in reason else []
        write(
            {"case": report.nodeid, "outcome": "failed", "reason": reason, "literals": literals, "seconds": 0}
        )


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "skipped":
        return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One record for each case: its call, or the set-up that failed or skipped it."""
    if report.when != "call" and not (report.when == "setup" and report.outcome != "passed"):
        if report.outcome != "failed":
            return
    outcome = "xfailed" if hasattr(report, "wasxfail") and report.outcome == "skipped" else report.outcome
    record = {
        "case": report.nodeid,
        "outcome": outcome,
        "reason": "" if outcome == "passed" else _reason(report)[:2000],
        "literals": dict(report.user_properties).get("literals", []),
        "seconds": round(report.duration, 3),
    }
    write(record)

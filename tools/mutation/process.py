"""Tests of a changed tree, each selection in a process of its own with limits of time and memory.

Flows in: a copy of the tree, and steps of pytest's arguments. Flows out: whether all tests passed, which one
did not, and the processor time. The process that forks has imported the libraries which no mutant changes,
PyTorch among them; the forked one imports Anychip from the copy. Each gets an empty temporary folder, where
`tests/conftest.py` makes the caches of kernels: no mutant reads what another compiler wrote, or leaves any.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "torch",
    "torch.testing",
    "torch.utils._pytree",
    "numpy",
    "scipy.special",
    "mpmath",
    "hypothesis",
    "hypothesis.strategies",
    "pytest",
)
"""What tests import and no mutant changes. Those that are not installed are left to the tests."""

PROCESSOR_SECONDS = 100
WALL_SECONDS = 3600
DATA_BYTES = 8 << 30
"""Limits of a mutant's process: loops end, and so do programs that ask for much memory. The wall clock is for
those that wait for ever; on a busy machine others take long, too."""


@dataclass(frozen=True)
class Step:
    """One run of pytest. Of tests that are parametrised by overloads, only those of `names` are run, in that
    order and before the others; of these, tests with a word of `first` in their names come first. `leading`
    is run before all. `budget` is processor seconds after which no further test begins."""

    arguments: tuple[str, ...]
    names: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    leading: str = ""
    budget: float = 30.0


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `killed`, `survived` or `timeout`, by which test, after how many that passed,
    in how many processor seconds and steps."""

    result: str
    by: str
    passed: int
    seconds: float
    steps: int


def preload() -> None:
    """Import what all runs share. Anychip must not be among it."""
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["CI"] = "1"  # Hypothesis draws the same examples in every run
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    del os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"]
    assert not any(name.partition(".")[0] == "anychip" for name in sys.modules)


class Watcher:
    """A plugin of pytest: selects and orders tests, stops at the budget, and writes what is running."""

    def __init__(self, step: Step, folder: Path) -> None:
        self.step = step
        self.running = folder / "running"
        self.failed: str | None = None
        self.passed = 0
        self.over_budget = False
        self.began = time.process_time()

    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session

    def _rank(self, item: Any) -> int | None:
        """Where a test stands in the order; None leaves it out."""
        if item.nodeid == self.step.leading:
            return -1
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        name = getattr(parameters.get("overload"), "name", None)
        if self.step.names and name is not None:
            return self.step.names.index(name) if name in self.step.names else None
        found = [at for at, word in enumerate(self.step.first) if word in item.name]
        return len(self.step.names) + min(found, default=len(self.step.first))

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        ranked = [(rank, item) for item in items if (rank := self._rank(item)) is not None]
        items[:] = [item for _, item in sorted(ranked, key=lambda pair: pair[0])]
        self.began = time.process_time()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid or "collection"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running.write_text(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid
        self.passed += report.when == "call" and report.passed

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if time.process_time() - self.began > self.step.budget:
            self.over_budget = True
            self.session.shouldstop = "the budget of processor time is used up"


def _apart(tree: Path, folder: Path, limited: bool) -> None:
    """In the forked process: limits, environment and folders of its own."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limited:
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ["PYTHONPATH"] = str(tree / "src")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for name in ("TMPDIR", "TRITON_CACHE_DIR", "ANYCHIP_CACHE_DIR", "TRITON_DUMP_DIR"):
        os.environ[name] = str(folder / name.lower())
        (folder / name.lower()).mkdir()
    tempfile.tempdir = None
    sys.path[:] = [str(tree / "src"), *(path for path in sys.path if path != str(ROOT))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tools"]:
        del sys.modules[name]  # tests import the copy's
    os.chdir(tree)


def _pytest(step: Step, folder: Path) -> None:
    """Run the tests of a step, and write what came of them."""
    import pytest

    watcher = Watcher(step, folder)

    options = ["-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist"]
    code = pytest.main([*options, *step.arguments], plugins=[watcher])
    ended = watcher.failed or (f"pytest ended with status {int(code)}" if code not in (0, 2, 5) else None)
    if code == 2 and not watcher.over_budget:
        ended = ended or "collection"
    (folder / "result").write_text(json.dumps({"failed": ended, "passed": watcher.passed, "code": int(code)}))


def forked(task: Callable[[], None], tree: Path, folder: Path, limited: bool = True) -> tuple[bool, float]:
    """Run a task in a forked process. Returns whether a limit of time ended it, and its processor seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _apart(tree, folder, limited)
            task()
            code = 0
        except BaseException:  # the forked process must never go on in the caller's code
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    begin = time.monotonic()
    late = False
    try:
        while not (ended := os.wait4(child, os.WNOHANG))[0]:
            if limited and time.monotonic() - begin > WALL_SECONDS:
                late = True
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):  # what the tests started and left behind
            os.killpg(child, signal.SIGKILL)
    _, status, usage = ended
    seconds = usage.ru_utime + usage.ru_stime
    signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    hard = signalled == signal.SIGKILL and seconds >= PROCESSOR_SECONDS - 1  # others send this one, too
    return late or signalled == signal.SIGXCPU or hard, seconds


def run(tree: Path, steps: Sequence[Step], keep: Path | None = None, limited: bool = True) -> Verdict:
    """Run steps until one has a test that does not pass. `keep` gets the text that pytest printed."""
    passed, total = 0, 0.0
    for number, step in enumerate(steps, 1):
        folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        try:
            late, seconds = forked(
                lambda step=step, folder=folder: _pytest(step, folder), tree, folder, limited
            )
            total += seconds
            if keep is not None:
                keep.write_bytes((folder / "output").read_bytes())
            if not (folder / "result").exists():
                running = folder / "running"
                test = running.read_text() if running.exists() else "import"
                return Verdict("timeout" if late else "killed", test, passed, total, number)
            result = json.loads((folder / "result").read_text())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        passed += result["passed"]
        if result["failed"]:
            return Verdict("killed", result["failed"], passed, total, number)
    return Verdict("survived", "", passed, total, len(steps))

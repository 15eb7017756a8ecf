"""What every test shares: caches of their own, the choice of slow tests, seeds, Hypothesis's profile.

Flows in: the command line and the environment. Flows out: environment variables that keep Triton's
and Anychip's kernel caches of a test run apart from the user's and from other runs.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from tests import processors

import anychip
from anychip.environment import leave_policy
from anychip.evidence import accuracy
from anychip.ops.launching import set_for_process

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True, database=None
)
FEW = 500
"""So many tests, or fewer, are reported one by one, those that are left out as well."""

settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--tiles", choices=("simt", "simd"), help="run operators with this class of tiles")


def pytest_configure(config: pytest.Config) -> None:
    """PyTorch's own operators are what results are compared with, whatever the environment asks for."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that started the run in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        _empty_caches(config)
    leave_policy()
    anychip.disable()
    if config.getoption("--tiles"):  # for threads that tests start, too
        set_for_process(tile_class=config.getoption("--tiles"))


def _empty_caches(config: pytest.Config) -> None:
    """Empty kernel caches in a temporary folder, removed after the run. Workers of xdist inherit the names
    and share the folders: what one has compiled, others load."""
    changed = pytest.MonkeyPatch()
    folder = tempfile.mkdtemp(prefix="anychip-test-")
    for name in ("TRITON_CACHE_DIR", "TRITON_DUMP_DIR", "ANYCHIP_CACHE_DIR"):
        changed.setenv(name, os.path.join(folder, name.lower()))
    config.add_cleanup(changed.undo)
    config.add_cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out; where few tests are asked for, they are skipped, which says why."""
    if config.getoption("--slow"):
        return
    slow = [item for item in items if "slow" in item.keywords]
    if len(items) > FEW:
        items[:] = [item for item in items if "slow" not in item.keywords]
        config.hook.pytest_deselected(items=slow)
    for item in slow:
        item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test draws the same random numbers, whichever tests ran before it in the process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def slack() -> Iterator[None]:
    """The multiple of the bound of proofs that this processor is granted."""
    with accuracy.granting(processors.slack()):
        yield


@pytest.fixture
def no_slack() -> Iterator[None]:
    """The bound of proofs as it is, on whatever processor: for tests in which only PyTorch runs."""
    with accuracy.granting(1.0):
        yield

"""One nursery for all judgements of a test run: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anychip.author.judgement import Terms
from anychip.author.processes.confined import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


@pytest.fixture(scope="session")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Terms:
    """Tiny shapes, few rounds, and one cache of compiled kernels for all."""
    cache = tmp_path_factory.mktemp("cache")
    for folder in (cache, *cache.parents[:2]):
        folder.chmod(0o755)
    cache.chmod(0o777)
    return Terms(
        scale=0.02, shapes=2, rounds=6, checked=6, seconds=60.0, targets=("x86-64-v2",), cache=cache, seed=7
    )

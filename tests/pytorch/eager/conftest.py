"""What tests of native calls share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anychip.pytorch import using
from anychip.pytorch.eager import sites


@pytest.fixture
def recording_anew() -> Iterator[None]:
    """The library serves PyTorch's operators, and nothing is recorded yet."""
    with using("portable"):
        shared = sites.world()
        assert shared is not None
        shared.forget()
        yield

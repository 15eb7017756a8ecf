"""What the verbs that run inside of pytest's own process leave behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    """Verbs with `--threads` set them for their process."""
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)

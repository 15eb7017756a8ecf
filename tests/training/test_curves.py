"""Curves of a hundred steps: how they are compared, and what the record says."""

from __future__ import annotations

import json

import pytest

from tools.training.curves import RECORD, between_seeds, largest
from tools.training.models import TASKS


def test_curves_are_compared_in_parts_of_the_loss() -> None:
    assert largest([1.0, 2.2, 4.0], [1.0, 2.0, 4.1]) == pytest.approx(0.1)
    assert between_seeds([[1.0, 3.0], [3.0, 3.0]]) == pytest.approx(0.5)


def test_recorded_curves_are_those_of_pytorch() -> None:
    """f32: sums in another order, which a hundred steps drive apart. bf16: within PyTorch's own spread."""
    rows = json.loads(RECORD.read_text(encoding="utf-8"))["rows"]
    assert rows
    for row in rows:
        assert row["model"] in TASKS
        assert row["losses"][-1] < row["losses"][0]
        assert row["largest"] < (1e-3 if row["dtype"] == "f32" else row["spread"]), row["model"]
        assert row["fallen"] == [], row["model"]

"""The stages of a small call add up to the whole, and every call is one launch."""

from __future__ import annotations

import pytest

from anychip.bench import overhead


def test_stages_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "CALLS", 3)
    monkeypatch.setattr(overhead, "ROUNDS", 2)
    for call in overhead.calls():
        found = overhead.measure(call)
        total = found.dispatch + found.operator + found.plan + found.kernel
        assert total == pytest.approx(found.python)
        assert found.above == found.ours - found.native
        assert found.kernel > 0

"""Programs with state: memory that a captured function writes and that its replays go on with."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.pytorch.capture import capture_with_state
from anychip.pytorch.errors import CaptureError


def test_replays_go_on_with_what_is_there() -> None:
    total = torch.zeros(3, 4)

    def add(x: torch.Tensor) -> torch.Tensor:
        total.add_(x)
        return total * 2.0

    x = torch.arange(12.0).reshape(3, 4)
    program = capture_with_state(add, [total], torch.zeros(3, 4))
    assert torch.equal(program(x), 2.0 * x)
    assert torch.equal(program(x), 4.0 * x)
    assert torch.equal(total, 2.0 * x)
    total.fill_(1.0)
    assert torch.equal(program(x), 2.0 * (x + 1.0))


def test_a_view_of_state_may_be_written_and_other_memory_may_not() -> None:
    rows, other = torch.zeros(4, 5), torch.zeros(5)

    def write(x: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        where.add_(x)
        return where + 0.0

    program = capture_with_state(lambda x: write(x, rows[2]), [rows], torch.zeros(5))
    program(torch.ones(5))
    assert rows.sum() == 5.0
    assert rows[2].sum() == 5.0
    with pytest.raises(CaptureError, match="writes a tensor that existed before"):
        capture_with_state(lambda x: write(x, other), [rows], torch.zeros(5))
    with pytest.raises(CaptureError, match="writes a tensor that existed before"):
        anychip.capture(lambda x: write(x, rows[2]), torch.zeros(5))


def test_state_is_not_exported(tmp_path) -> None:
    total = torch.zeros(4)
    program = capture_with_state(lambda x: total.add_(x) * 1.0, [total], torch.zeros(4))
    with pytest.raises(CaptureError, match="its state"):
        program.export("cortex-a53", tmp_path)

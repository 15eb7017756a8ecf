"""What a call through Python costs: measured without running anything of the program's."""

from __future__ import annotations

import pytest
import torch

from anychip.pytorch.automatic import overhead
from anychip.pytorch.automatic.trial import DISPATCH, NATIVE, OURS, Trial, verdict

NONE: frozenset[str] = frozenset()


def test_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(4)
    assert overhead.measure("add_.Tensor", "CPU", (x, 1.0), {}, NONE) > 0
    assert torch.equal(x, torch.zeros(4))
    state = torch.get_rng_state()
    assert overhead.measure("normal_", "CPU", (x, 0.0, 1.0), {"generator": None}, NONE) > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_lists_and_keywords_are_taken() -> None:
    image, weight = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3)
    arguments = (image, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    assert overhead.measure("convolution", "CPU", arguments, {}, NONE) != DISPATCH
    out = {"alpha": 2, "out": image}
    assert overhead.measure("add.Tensor", "CPU", (image, image), out, frozenset({"out"})) != DISPATCH


def test_arguments_that_do_not_fit_cost_the_least() -> None:
    assert overhead.measure("exp", "CPU", ("no tensor",), {}, NONE) == DISPATCH


def test_a_verdict_counts_it() -> None:
    seconds = {OURS: 10e-6, NATIVE: 20e-6}
    assert verdict(seconds) == OURS
    assert verdict(seconds, overhead=25e-6) == NATIVE
    trial = Trial(overhead=25e-6)
    while not trial.verdict:
        trial.add(trial.turn(), seconds[trial.turn()] if trial.verdict else 20e-6)
    assert trial.verdict == NATIVE

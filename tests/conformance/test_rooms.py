"""A room's operators on another chip: right ones pass under its emulator, a wrong one is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from anychip.conformance import campaign as campaigns
from anychip.conformance import rooms
from anychip.conformance.errors import ConformanceError
from anychip.ops.rooms import ROOMS


@pytest.mark.slow
def test_operators_of_robots_on_a_microcontroller() -> None:
    pytest.importorskip("ziglang")
    campaign = campaigns.begin("cortex-m4")
    if campaign.core is None:
        pytest.skip(campaign.reason)
    (right,) = rooms.chosen(ROOMS["robot"], ["quat_multiply"])
    wrong = replace(right, reference=lambda a, b, order: right.reference(b, a, order=order))
    findings = list(rooms.prove([campaign], [right, wrong], [torch.float32]))
    assert [finding.verdict for finding in findings] == ["passed", "failed"]
    assert "result 0" in findings[1].reason
    assert {(finding.chip, finding.dtype) for finding in findings} == {("cortex-m4", "float32")}


def test_unknown_operators_are_refused() -> None:
    with pytest.raises(ConformanceError, match="--domain robot"):
        rooms.chosen(ROOMS["robot"], ["quat_multipy"])

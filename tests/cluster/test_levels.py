"""Ranks of different chips in one job: code of x86-64-v3 beside code of x86-64-v2."""

from __future__ import annotations

import json
import platform

import pytest

from anychip.compiler import targets
from tools.cluster import job


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the levels are those of x86-64")
def test_ranks_of_two_levels_train_as_one_process_does() -> None:
    if "avx2" not in targets.host().features:
        pytest.skip("this core has no x86-64-v3")
    of_rank = {rank: {"ANYCHIP_TARGET": level} for rank, level in enumerate(("x86-64-v3", "x86-64-v2"))}
    ended = job.run(["-m", "tests.cluster.levels"], 2, 500, of_rank=of_rank)
    for each in ended:
        told = json.loads(each.output.splitlines()[-1])
        assert told["levels"] == ["x86-64-v3", "x86-64-v2"]
        assert told["losses"] == pytest.approx(told["expected"], rel=1e-5)

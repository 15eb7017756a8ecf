"""Defaults for cores that are not at hand: chosen by the model, without a clock; and taken where the host is
one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from anychip.compiler import targets
from anychip.measurements import chip, defaults
from anychip.measurements.defaults import MODEL, Defaults
from anychip.ops import tuned
from anychip.ops.launching import launch_options, set_for_process
from anychip.ops.pointwise import TILES
from anychip.pytorch.policy import _tune_tiles
from anychip.tune import modelled, tiles


def test_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    (workload,) = tiles.workloads(["tanh"])
    for clock in ("perf_counter", "perf_counter_ns", "thread_time", "process_time"):
        monkeypatch.setattr(time, clock, lambda clock=clock: pytest.fail(f"{clock} was asked"))
    assert modelled.sizes(workload, modelled.cores(), 30.0) == {}, "the shipped sizes suit these cores"
    monkeypatch.setattr(modelled, "_worst", lambda cycles, shipped: 1.0 if cycles == shipped else 0.5)
    found = modelled.sizes(workload, modelled.cores(), 30.0)
    assert found, "whatever is expected to take half as long is taken"
    assert all(size & (size - 1) == 0 for size in found.values())


def test_an_aarch64_host_takes_the_models_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = defaults.load("aarch64")
    assert shipped.source == MODEL
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(chip, "host", lambda: targets.get("neoverse-n1"))
    assert chip.level() == "aarch64"
    known = Defaults("aarch64", "made up", {}, MODEL, {**shipped.tiles, "pointwise.TILES": {"flat": 256}})
    monkeypatch.setattr(defaults, "load", lambda level: known if level == "aarch64" else None)
    before = launch_options().tuned
    try:
        _tune_tiles.__wrapped__(1)
        assert TILES.on(torch.empty(1 << 20))["flat"] == 256
        for name, sizes in shipped.tiles.items():
            assert tuned.named()[name].on(torch.device("cpu")).items() >= sizes.items()
    finally:
        set_for_process(tuned=before)

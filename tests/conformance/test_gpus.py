"""A conformance run for GPUs that are not here: kernels with a GPU's tiles, compiled by stock Triton."""

from __future__ import annotations

import pytest
import torch

from anychip.conformance import campaign as campaigns
from anychip.conformance import chip_record, trials
from anychip.conformance.errors import ConformanceError
from anychip.emulation.errors import EmulationError
from anychip.ops import launch

SMALL = trials.Sampling((torch.float32,), 1)


@pytest.fixture(autouse=True)
def tiles_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "tile_class", "")


def test_kernels_are_compiled_for_gpus() -> None:
    gpus = [campaigns.begin(name, compile_only=True) for name in ("nvidia-h100", "amd-mi300x")]
    campaigns.run(gpus, ("erf",), sampling=SMALL)
    for gpu, backend in zip(gpus, ("cuda", "hip"), strict=True):
        facts = chip_record.record(gpu)
        assert (facts["tier"], facts["triton_backend"]) == ("compiled", backend)
        assert facts["verdicts"] == {"erf": "passed"}
        assert facts["kernels"]["compiled"] == facts["kernels"]["tried"] >= 1
    tiles = launch.Tiles(simt={"BLOCK": 1}, simd={"BLOCK": 2})
    assert tiles.on(torch.device("cpu"))["BLOCK"] == 1, "kernels for GPUs have their tiles"


def test_a_gpu_is_not_emulated() -> None:
    with pytest.raises(EmulationError, match="--compile-only"):
        campaigns.begin("nvidia-h100")


def test_gpus_and_cpus_are_separate_runs() -> None:
    mixed = [campaigns.begin(name, compile_only=True) for name in ("nvidia-h100", "cortex-a53")]
    with pytest.raises(ConformanceError, match="separate runs"):
        campaigns.run(mixed, ("erf",), sampling=SMALL)


def test_records_hold_no_places_of_this_machine() -> None:
    error = f"RuntimeError: failed\n  {chip_record.REPOSITORY}/src/kernel.py:3:1"
    assert chip_record._first_lines(error) == "RuntimeError: failed src/kernel.py:3:1"

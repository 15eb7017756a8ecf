"""A conformance run for GPUs that are not here: kernels with a GPU's tiles, compiled by stock Triton."""

from __future__ import annotations

import pytest
import torch

from anychip.compiler.foreign.routes import resolve
from anychip.conformance import campaign as campaigns
from anychip.conformance import chip_record, trials
from anychip.conformance.generation import Generation, as_on, generation_of
from anychip.conformance.run import run
from anychip.emulation.errors import EmulationError
from anychip.ops import eight_bits
from anychip.ops.launching import Tiles

SMALL = trials.Sampling((torch.float32,), 1)


def test_kernels_are_compiled_for_gpus() -> None:
    gpus = [campaigns.begin(name, compile_only=True) for name in ("nvidia-h100", "amd-mi300x")]
    run(gpus, ("erf",), sampling=SMALL)
    for gpu, backend in zip(gpus, ("cuda", "hip"), strict=True):
        facts = chip_record.record(gpu)
        assert (facts["tier"], facts["triton_backend"]) == ("compiled", backend)
        assert facts["verdicts"] == {"erf": "passed"}
        assert facts["kernels"]["compiled"] == facts["kernels"]["tried"] >= 1


def test_a_gpu_is_not_emulated() -> None:
    with pytest.raises(EmulationError, match="--compile-only"):
        campaigns.begin("nvidia-h100")


def test_chips_of_other_generations_get_other_kernels() -> None:
    """A GPU has tiles of its own; Turing takes no 8-bit products, Hopper does."""
    chips = [campaigns.begin(name, compile_only=True) for name in ("sm_75", "sm_90", "sm_120", "cortex-a53")]
    run(chips, ("int_mm",), sampling=SMALL)
    for chip in chips:
        assert chip_record.record(chip)["verdicts"] == {"int_mm": "passed"}
    turing, hopper, blackwell, _ = (chip.compiled.names for chip in chips)
    assert hopper == blackwell
    assert not turing & hopper


def test_operators_launch_as_on_a_chip_while_that_is_wanted() -> None:
    tiles = Tiles(simt={"BLOCK": 1}, simd={"BLOCK": 2})
    here = torch.device("cpu")
    before = tiles.on(here)["BLOCK"], eight_bits.of_device(here)
    with as_on(generation_of(resolve("nvidia-t4"))):
        assert tiles.on(here)["BLOCK"] == 1
        assert not eight_bits.of_device(here).integers
    assert (tiles.on(here)["BLOCK"], eight_bits.of_device(here)) == before
    assert generation_of(resolve("amd-mi210")) == generation_of(resolve("nvidia-h100"))
    assert generation_of(resolve("cortex-a53")) == Generation()


def test_records_hold_no_places_of_this_machine() -> None:
    error = f"RuntimeError: failed\n  {chip_record.REPOSITORY}/src/kernel.py:3:1"
    assert chip_record._first_lines(error) == "RuntimeError: failed src/kernel.py:3:1"

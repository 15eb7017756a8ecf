"""Plans of jobs: what is measured, what is carried over, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anychip import chips
from anychip.cli.application import application
from anychip.cluster import ClusterError, CutError, plan, profile, ranks, script
from anychip.cluster.profile import Part, Profile
from anychip.cluster.ranks import Network, Rank
from anychip.cluster.speeds import Roof, expected, published_roof

SCRIPT = """
import torch

def cluster_job():
    torch.manual_seed(0)
    nn = torch.nn
    layers = [nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(5)]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(32, 1))
    x = torch.randn(8, 32)
    return model, lambda model: model(x).square().mean(), 8
"""


def part(seconds: float, parameters: int = 100, saved: int = 10) -> Part:
    return Part("p", seconds / 3, seconds * 2 / 3, 1e6, parameters, saved, 40)


def this(share: float = 1.0, memory: int = 0) -> Rank:
    return Rank(None, 1, share, memory)


FAST = Network(1e9, 1e-5, is_measured=True)
MODEL = Profile((part(0.0), *(part(1.0) for _ in range(6))), 8, 0.0)


def costs_of(*wanted: Rank, cores: int = 8) -> plan.Costs:
    return plan.Costs({1: MODEL}, wanted, {1: Roof(1e11, 1e10)}, cores)


def test_a_rank_of_half_its_time_gets_half_the_samples() -> None:
    found = plan.shards(costs_of(this(), this(0.5)), FAST, 12)
    assert [each.samples for each in found.work] == [8, 4]
    assert found.seconds < found.equal
    assert found.known == "measured"
    assert found.work[0].sent == 700  # ring: 2 (n - 1) / n of the gradients


def test_a_rank_of_half_its_time_gets_half_the_layers() -> None:
    found = plan.stages(costs_of(this(), this(0.5)), FAST, 8, 4)
    assert [each.layers for each in found.work] == [range(4), range(4, 6)]
    assert found.equal > 1.3 * found.seconds


def test_ranks_that_share_cores_take_turns() -> None:
    alone = plan.shards(costs_of(this(), this(), cores=2), FAST, 8)
    crowded = plan.shards(costs_of(this(), this(), cores=1), FAST, 8)
    assert crowded.seconds == pytest.approx(2 * alone.seconds, rel=1e-3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(CutError, match=r"rank 0 .*GiB"):
        plan.shards(costs_of(this(memory=1000), this()), FAST, 8)
    with pytest.raises(CutError, match="memory"):
        plan.stages(costs_of(this(memory=300), this(memory=300)), FAST, 8, 4)


def test_another_chip_is_expected_by_its_roof() -> None:
    """A part that moves bytes gets quicker by the bandwidths' ratio, whatever is lost above this roof."""
    here, there = Roof(1e12, 1e9), Roof(1e12, 4e9)
    moving = Part("p", 2.0, 4.0, 1e6, 1_000_000_000, 0, 0)
    assert here.seconds(moving) == pytest.approx(3.0)
    assert expected(moving, here, there) == pytest.approx(1.5)
    chip = next(chip for chip in chips.all() if chip.identifier == "nvidia-h100")
    assert published_roof(chip).bytes == chip.memory_gbs * 1e9
    found = plan.shards(costs_of(this(), Rank(chip, 1, 1.0, chip.memory_gib << 30)), FAST, 64)
    assert [each.known for each in found.work] == ["measured", "cost model"]
    assert found.known == "cost model"
    assert found.work[1].samples > 32


def test_a_profile_tells_layers_apart() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 64), torch.nn.Linear(64, 1024), torch.nn.Linear(1024, 64), torch.nn.Linear(64, 1)
    )
    x = torch.randn(256, 64)
    ticks = iter(range(10_000))
    found = profile.profile(model, lambda model: model(x).sum(), 256, 1, clock=lambda: float(next(ticks)))
    assert [each.name for each in found.parts] == ["before", ".0", ".1", ".2", ".3"]
    assert [each.flops for each in found.parts] == [
        2.0 * 256 * a * b for a, b in ((0, 0), (64, 64), (64, 1024), (1024, 64), (64, 1))
    ]
    assert [each.parameters for each in found.parts] == [
        4 * (a * b + b) for a, b in ((0, 0), (64, 64), (64, 1024), (1024, 64), (64, 1))
    ]
    assert [each.output for each in found.parts] == [4 * 256 * n for n in (64, 64, 1024, 64, 0)]
    assert found.parts[2].saved == 256 * 64 * 4  # the input of the layer; the weights are no activations
    assert all(each.forward == 1.0 for each in found.parts)
    with pytest.raises(CutError, match="no list of layers"):
        profile.layers_of(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no ranks"),
        ("[[rank]]\nchip = 'nvidia-h10'", "nvidia-h100"),
        ("[[rank]]\nshares = 1", "share"),
        ("[[rank]]\nshare = 2", "at most 1"),
        ("[[rank]]\nshare = 'half'", "half"),
        ("[[rank]]\n[network]\nlatency_us = 1", "gigabytes_per_second"),
        ("[[rank", "Write"),
    ],
)
def test_a_file_of_ranks_that_says_nothing_usable(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "chips.toml"
    file.write_text(text)
    with pytest.raises(ClusterError, match=message):
        ranks.read(file)


TRAINS = """
import sys
import torch

def main():
    width = int(sys.argv[1])
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(4)))
    criterion = torch.nn.MSELoss()
    updates = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        criterion(model(torch.ones(6, width)), torch.zeros(6, width)).backward()
        updates.step()
    raise RuntimeError("the script was not ended at its first backward pass")

if __name__ == "__main__":
    main()
"""


def test_a_script_is_run_to_its_first_backward_pass(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(TRAINS)
    backward, call = torch.autograd.backward, torch.nn.Module.__call__
    model, loss_of, samples = script.job_of(file, ["24"])
    assert samples == 6
    assert [part.in_features for part in model.children() if isinstance(part, torch.nn.Linear)] == [24] * 4
    loss_of(model).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert (torch.autograd.backward, torch.nn.Module.__call__) == (backward, call)
    file.write_text("import torch\ntorch.nn.ReLU()(torch.ones(3))")
    with pytest.raises(CutError, match="no model with weights"):
        script.job_of(file)
    file.write_text("raise SystemExit('no data')")
    with pytest.raises(CutError, match="no data"):
        script.job_of(file)


@pytest.mark.slow
def test_the_verb_takes_the_example_that_pretrains(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "training" / "pretrain.py"
    file = tmp_path / "chips.toml"
    file.write_text("[[rank]]\n[[rank]]\n[network]\ngigabytes_per_second = 1.5\nlatency_us = 30\n")
    arguments = ["cluster", "plan", str(example), "--ranks", str(file), "--cut", "stages", "--json"]
    ended = CliRunner().invoke(application, [*arguments, "--", "--policy", "pytorch"])
    assert ended.exit_code == 0, ended.output
    assert [each["layers"] for each in json.loads(ended.stdout)["ranks"]] == [[0, 2], [2, 4]]


@pytest.mark.parametrize("cut", ["shards", "stages"])
def test_the_verb(cut: str, tmp_path: Path) -> None:
    job, file = tmp_path / "job.py", tmp_path / "chips.toml"
    job.write_text(SCRIPT)
    file.write_text(
        '[[rank]]\n[[rank]]\nchip = "amd-epyc-9654"\n[network]\ngigabytes_per_second = 1.5\nlatency_us = 30\n'
    )
    arguments = ["cluster", "plan", str(job), "--ranks", str(file), "--cut", cut, "--rounds", "1"]
    ended = CliRunner().invoke(application, [*arguments, "--json"])
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert [each["known"] for each in told["ranks"]] == ["measured", "cost model"]
    assert told["known"] == "cost model"
    layers = [each["layers"] for each in told["ranks"]]
    assert (layers == [[0, 6], [0, 6]]) if cut == "shards" else (layers[0][0], layers[1][1]) == (0, 6)
    assert told["step_seconds"] > told["communication_seconds"] > 0
    assert "a step:" in CliRunner().invoke(application, arguments).stdout

"""Plans: the parts are what was measured, placements that do not meet the deadline are refused with what
would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")
torch = pytest.importorskip("torch")

from anychip.link.errors import LinkError, PlanError  # noqa: E402
from anychip.link.plan import plan  # noqa: E402
from anychip.link.policy import Policy, Stage  # noqa: E402
from anychip.link.profiles import ChipProfile, NetworkProfile, profile, read_chip, read_network, write  # noqa: E402

SIZES = {"vision": 100_000, "head": 1000, "actions": 200}


def chip(vision: float, head: float, policy: str = "a", chunk: int = 8) -> ChipProfile:
    """A chip whose stages always take the same time, whatever the batch."""
    times = {"1": [vision] * 3, "8": [vision] * 3}, {"1": [head] * 3, "8": [head] * 3}
    return ChipProfile(policy, chunk, {"vision": times[0], "head": times[1]}, SIZES)


def network(small: float, per_byte: float = 0.0) -> NetworkProfile:
    return NetworkProfile(64, [small] * 3, 3064, [small + 3000 * per_byte] * 3)


def test_the_parts_are_those_that_were_measured() -> None:
    made = plan(chip(0.050, 0.020), chip(0.004, 0.001), network(0.002, 1e-8), hz=50, max_age=0.1)
    by_cut = {each.on_robot: each for each in made.placements}
    assert set(by_cut) == {0, 1, 2}
    assert by_cut[2].latency == pytest.approx(0.070)
    assert by_cut[1].parts["edge"] == pytest.approx(0.050)
    assert by_cut[1].parts["cloud"] == pytest.approx(0.001)
    assert by_cut[0].parts["cloud"] == pytest.approx(0.005)
    assert by_cut[0].parts["uplink"] == pytest.approx(0.001 + (100_000 - 64) * 1e-8 / 2)
    assert by_cut[0].parts["downlink"] == pytest.approx(0.001, rel=0.01)
    assert made.require().on_robot == 0
    assert dict(made.require().stages) == {"vision": "cloud", "head": "cloud"}


def test_a_slow_network_moves_a_stage_to_the_robot() -> None:
    made = plan(chip(0.010, 0.080), chip(0.001, 0.001), network(0.002, 1e-6), hz=50, max_age=0.12)
    assert made.require().on_robot == 1


def test_what_cannot_be_met_is_refused_with_what_would_help() -> None:
    made = plan(chip(0.5, 0.5), chip(0.010, 0.010), network(0.080), hz=50, max_age=0.080)
    with pytest.raises(PlanError, match="actions would be"):
        made.require()
    (advised,) = [text for text in made.advice if "--max-age" in text]
    # What is advised is enough.
    max_age = int(advised.partition("--max-age ")[2].partition("ms")[0]) * 1e-3
    longer = plan(chip(0.5, 0.5), chip(0.010, 0.010), network(0.080), hz=50, max_age=max_age)
    assert longer.require().latency <= longer.require().bridged


def test_a_chunk_that_is_too_short_is_named() -> None:
    made = plan(chip(0.5, 0.5, chunk=2), chip(0.02, 0.02, chunk=2), network(0.01), hz=50, max_age=0.2)
    assert not made.placements[0].is_met
    assert "a chunk bridges" in made.placements[0].why_not
    assert any("chunks of" in text for text in made.advice)


def test_many_robots_wait_for_each_other() -> None:
    alone = plan(chip(1, 1), chip(0.004, 0.004), network(0.001), hz=20, max_age=0.3, robots=1)
    crowd = plan(chip(1, 1), chip(0.004, 0.004), network(0.001), hz=20, max_age=0.3, robots=32)
    too_many = plan(
        chip(1, 1), chip(0.004, 0.004), network(0.001), hz=20, max_age=0.25, robots=32, largest_batch=1
    )
    first = {
        name: made.placements[0] for name, made in (("alone", alone), ("crowd", crowd), ("many", too_many))
    }
    assert first["alone"].parts["queue"] == 0
    assert 0 < first["crowd"].parts["queue"] < 0.02
    assert first["crowd"].is_met
    assert not first["many"].is_met
    assert first["many"].gap >= 0.2
    assert any("fewer robots" in text for text in too_many.advice)


def test_profiles_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="two policies"):
        plan(chip(1, 1), chip(1, 1, "b"), network(1), hz=50, max_age=1)
    with pytest.raises(PlanError, match="is no ChipProfile"):
        read_chip(tmp_path / "none.json")
    (tmp_path / "wrong.json").write_text('{"small": []}')
    with pytest.raises(PlanError, match="is no NetworkProfile"):
        read_network(tmp_path / "wrong.json")
    with pytest.raises(PlanError, match="no times of stage 'vision' in batches of 3"):
        chip(1, 1).times("vision", 3)


def policy(scale: float = 1.0, chunk: int = 4) -> Policy:
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 8)
    with torch.no_grad():
        layer.weight.mul_(scale)

    def vision(tensors: Any) -> Any:
        return {"feature": tensors["image"].float().mean(dim=(1, 2)) * 2}

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, tensors: Any) -> Any:
            return {"actions": self.layer(tensors["feature"]).view(-1, 4, 2)}

    observation = {"image": ("uint8", (4, 5, 6))}
    return Policy((Stage("vision", vision), Stage("head", Head())), observation, chunk, 2, {"mean": [0.0]})


def test_a_policy_runs_in_two_places_as_in_one(tmp_path: Path) -> None:
    made = policy()
    seen = {"image": np.random.default_rng(1).integers(0, 255, (4, 5, 6), np.uint8)}
    whole = made.answer({"image": seen["image"][None]}, 0)
    assert whole.shape == (1, 4, 2)
    assert made.expects(1) == (("feature", "float32", (6,)),)
    there = {name: array[None] for name, array in made.on_robot(seen, 1).items()}
    np.testing.assert_array_equal(made.answer(there, 1), whole)
    found = profile(made, rounds=3)
    assert found.sizes == {"vision": 120, "head": 24, "actions": 32}
    assert len(found.times("head", 8)) == 3
    write(found, tmp_path / "edge.json")
    assert read_chip(tmp_path / "edge.json") == found


def test_the_hash_of_a_policy_tells_parameters_and_shapes_apart() -> None:
    assert policy().digest == policy().digest
    assert policy().digest != policy(scale=1.0001).digest
    assert policy().digest != policy(chunk=8).digest
    assert policy().terms(50).policy == policy().digest


def test_policies_that_make_no_sense() -> None:
    with pytest.raises(LinkError, match="leave none of 2"):
        policy().terms(50, 2)
    with pytest.raises(LinkError, match="actions of"):
        policy(chunk=3).answer(policy().example(2), 0)
    with pytest.raises(LinkError, match="needs stages"):
        Policy((), {}, 1, 1)
    with pytest.raises(LinkError, match="elements of complex64"):
        Policy((Stage("a", lambda x: x),), {"x": ("complex64", ())}, 1, 1)

"""Rates of served models: turns, ratios, records, and candidates that end."""

import json
from pathlib import Path

import pytest

from anychip.bench.errors import BenchmarkError
from anychip.bench.report import Circumstances
from anychip.bench.serving import processes, rates, record
from anychip.bench.serving.rates import KINDS, Rates, Seconds, Start

WHERE = Circumstances("a processor", 2, 1, "2026-12-01", "anychip bench serve model", {"torch": "2"})
CANDIDATE = """
import json, sys
print(json.dumps({"version": sys.argv[1] + " 1", "weight_bytes": 100}), flush=True)
speed = {"anychip": 1.0, "llama.cpp": 2.0}[sys.argv[1]]
for line in sys.stdin:
    task = json.loads(line)
    if "read" in task:
        print(json.dumps({"wall": 0.5, "processor": 0.25}), flush=True)
        continue
    if len(task["prompts"]) == 16 and len(sys.argv[2]) % 2:
        sys.exit("no room")
    count = len(task["prompts"])
    told = {"wall": 4.0 * speed, "processor": 2.0 * speed, "memory": 10}
    told |= {"first": [1.0 * speed] * count, "last": [3.0 * speed] * count}
    print(json.dumps(told), flush=True)
"""
"""A process of a candidate that takes made-up times, and ends in the middle for some models."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "candidate.py"
    file.write_text(CANDIDATE)
    monkeypatch.setattr(processes, "PROGRAM", file)


def test_rates_are_those_of_the_kept_rounds(program: None) -> None:
    made = rates.measure(Path("even"), ["llama.cpp"], 1, 2)
    assert made.versions == {"anychip": "anychip 1", "llama.cpp": "llama.cpp 1"}
    assert {
        kind: {name: len(found) for name, found in each.items()} for kind, each in made.rounds.items()
    } == {
        **{kind: {"anychip": 2, "llama.cpp": 2} for kind in KINDS},
        "read": {"anychip": 2},
    }
    assert made.rounds["decode"]["anychip"][0] == Seconds(2.0 / 64, 1.0 / 64)
    assert made.rounds["prompt"]["llama.cpp"][0] == Seconds(2.0 / 512, 4.0 / 512)
    assert made.rounds["streams"]["anychip"][0] == Seconds(4.0 / 512, 2.0 / 512)
    assert rates.ratio(made.rounds["decode"], "llama.cpp") == Seconds(2.0, 2.0)
    assert rates.above_reading(made) == Seconds(2.0 / 64 / 0.5, 1.0 / 64 / 0.25)


def test_prompts_are_new_in_each_round() -> None:
    kind = KINDS["streams"]
    drawn = [prompt for seed in range(3) for prompt in rates.prompts(kind, seed)]
    assert len({tuple(prompt) for prompt in drawn}) == 3 * kind.streams


def test_a_candidate_that_ends_is_named_with_its_last_words(program: None) -> None:
    with pytest.raises(BenchmarkError, match="anychip ended with status 1: no room"):
        rates.measure(Path("odd"), [], 1, 1)


def test_unknown_peers_and_kinds_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="gpt is no peer"):
        rates.measure(Path("model"), ["gpt"], 1, 1)
    with pytest.raises(BenchmarkError, match="walk is no kind"):
        rates.chosen(["walk"])


def run(model: str, factor: float = 1.0) -> record.Run:
    def rounds(*walls: float) -> list[Seconds]:
        return [Seconds(wall * factor, wall * factor / 2) for wall in walls]

    found = {
        "decode": {"anychip": rounds(0.02, 0.01), "llama.cpp": rounds(0.03, 0.02)},
        "prompt": {"anychip": rounds(0.002), "llama.cpp": rounds(0.001)},
        "read": {"anychip": rounds(0.008)},
    }
    versions = {"anychip": "0.1", "llama.cpp": "9"}
    return record.Run(Rates(model, 1, 10**8, versions, found, Start(8.0, 3.0, 10**8)), WHERE, "abc")


def test_records_keep_a_run_for_each_model(tmp_path: Path) -> None:
    file = tmp_path / "serving.json"
    for made in (run("a"), run("b"), run("a", 2.0)):
        record.add(file, made)
    assert record.load(file) == [run("a", 2.0), run("b")]
    file.write_text(json.dumps({"rows": []}))
    with pytest.raises(BenchmarkError, match="bench serve --record"):
        record.load(file)


def test_text_has_least_times_means_and_the_worst() -> None:
    text = record.text([run("model.gguf")])
    assert "| decoding, one answer | anychip | 100.0 | 200.0 |  |  |" in text
    assert "|  | llama.cpp | 50.0 | 100.0 | 2.00 | 2.00 |" in text
    assert "by the clock 1.00 in the geometric mean, 0.50 at worst" in text
    assert "a token takes 1.25 times that by the clock" in text
    assert "commit abc" in text
    assert "First token 8.0 s" in text

"""The prepared runs for a GPU, without one: they skip with a reason, end at their time, go on where they
ended, survive a worker that dies, and find a wrong result."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tools.gpu import __main__, placing, pool, proofs, speeds, training, wheels
from tools.gpu.record import Item, Record
from tools.gpu.steps import RUNS, STEPS
from tools.gpu.worker import done

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import json, sys, time
print("{}", flush=True)
for line in sys.stdin:
    step, name = json.loads(line)
    if name == "dies":
        sys.exit(1)
    if name == "hangs":
        time.sleep(60)
    print(json.dumps({"verdict": "passed"}), flush=True)
"""


def run(names: list[str], record: Record, seconds: float, limit: float = 30.0) -> int:
    items = [item for item in (Item("step", name) for name in names) if not record.is_done(item)]
    command = [sys.executable, "-c", WORKER]
    return pool.work(items, 2, time.monotonic() + seconds, limit, command, record.add)


def test_a_worker_that_dies_costs_its_item_alone(tmp_path: Path) -> None:
    record = Record(tmp_path / "run.jsonl", {})
    assert run(["a", "dies", "b", "c", "dies too", "d"], record, 60.0) == 0
    verdicts = {item.name: row["verdict"] for item, row in record.rows.items()}
    assert verdicts == {"dies": "died", **dict.fromkeys(["a", "b", "c", "dies too", "d"], "passed")}


def test_an_item_has_a_limit_and_a_run_an_end(tmp_path: Path) -> None:
    record = Record(tmp_path / "run.jsonl", {})
    assert run(["hangs"], record, 60.0, limit=0.5) == 0
    assert record.rows[Item("step", "hangs")]["verdict"] == "timed out"
    record = Record(tmp_path / "other.jsonl", {})
    assert run(["hangs", "hangs ", "a"], record, 1.0) >= 1, "what was not done is left"
    assert Item("step", "hangs") not in record.rows, "the end of the run is no fault of the item"


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    record = Record(file, {"device": "one"})
    record.add({"step": "s", "name": "a", "verdict": "passed"})
    record.add({"step": "s", "name": "b", "verdict": "died"})
    with file.open("a") as opened:
        opened.write('{"step": "s", "name": "c", "verd')
    again = Record(file, {"device": "one"})
    assert again.is_done(Item("s", "a"))
    assert not again.is_done(Item("s", "b"))
    assert not again.is_done(Item("s", "c"))
    assert dict(again.counts()) == {"s": {"passed": 1, "died": 1}}
    assert not Record(file, {"device": "another"}).rows
    assert file.with_suffix(".before.jsonl").exists(), "the other device's rows are kept"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_run_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "inference"])
    __main__.main()
    assert capsys.readouterr().out.startswith("skipped: PyTorch ")


def test_every_step_is_in_a_run_and_has_items() -> None:
    assert {name for names in RUNS.values() for name in names} == set(STEPS)
    for names in RUNS.values():
        shares = [STEPS[name].until for name in names]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
    domains = speeds.sampled()[:20]
    assert len({name.split()[0] for name in domains}) == 20


@pytest.mark.slow
def test_a_proof_passes_and_a_wrong_result_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    place = placing.on("cpu")
    found = done(proofs.operator, "relu", place)
    assert found["verdict"] == "passed"
    assert [row["dtype"] for row in found["types"]] == ["float32", "bfloat16"]
    wrong = placing.Place("cpu", place.there, lambda x: x.detach() + 1, place.finish)
    assert done(proofs.operator, "relu", wrong)["verdict"] == "failed"
    assert done(proofs.fused_operator, "llm.squared_relu", place)["verdict"] == "passed"
    assert done(proofs.fused_operator, "llm.squared_relu", wrong)["verdict"] == "failed"
    missing = done(proofs.operator, "no such operator", place)
    assert (missing["verdict"], missing["why"].split(":")[0]) == ("failed", "KeyError")


def test_tensors_arrive_in_their_layout() -> None:
    x = torch.arange(24.0).view(4, 6).t()[1::2].requires_grad_()
    value, device = placing.on("cpu").all_placed([x, torch.device("cpu")])
    assert value.stride() == x.stride()
    assert value.requires_grad
    assert torch.equal(value, x)
    assert value.data_ptr() != x.data_ptr()
    assert device == torch.device("cpu")


def test_what_is_carried_has_tested_versions() -> None:
    names = [line.split("==")[0] for line in wheels.wanted("3.12")]
    assert {"llvmlite", "transformers", "numpy"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_a_run_on_a_stand_in(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    command = [sys.executable, "-m", "tools.gpu", "inference", "--minutes", "30", "--workers", "1"]
    command += ["--stand-in", "tests.pytorch.stand_in", "--device", "npu", "--record", str(file)]
    command += ["--only", "exp", "softmax"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert {(row["name"], row["verdict"]) for row in rows} == {("exp", "passed"), ("softmax", "passed")}
    assert "operators: 2 passed" in told


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(training.MODELS))
def test_training_on_the_cpu_follows_pytorch(name: str) -> None:
    found = training.step(name, placing.on("cpu"))
    assert found["verdict"] == "passed", found


@pytest.mark.slow
def test_ranks_of_two_kinds_follow_pytorch() -> None:
    found = training.mixed("llama", placing.on("cpu"))
    assert found["verdict"] == "passed", found

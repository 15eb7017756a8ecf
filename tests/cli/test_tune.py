"""`anychip tune`: each verb end to end, on small work."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.cli.tune.tuned_kernel import tuned_kernel
from anychip.measurements.entry import CHOICE, Entry
from anychip.measurements.errors import MeasurementsError
from anychip.tune.errors import TuneError
from anychip.tune.kernels import search

KERNEL = """
import triton
import triton.language as tl

@triton.jit
def scale(x_ptr, y_ptr, n, factor, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + i, tl.load(x_ptr + i, mask=i < n) * factor, mask=i < n)

@triton.jit
def tell(y_ptr, BLOCK: tl.constexpr):
    tl.store(y_ptr + tl.arange(0, BLOCK), BLOCK)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("anychip.measurements.crowd.crowded", lambda: False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kernels.py"
    path.write_text(KERNEL)
    return path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application, ["tune", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_operators_are_measured_and_shown(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        found = json.loads(
            run("ops", "exp", "--size", "tiny", "--no-tiles", "--cpu-time", "--budget", "30", "--json")
        )
    finally:
        torch.set_num_threads(threads)
    (row,) = found["operators"]
    assert row["overload"] == "exp"
    assert row["native"] > 0
    assert row["ours"] > 0
    (entry,) = json.loads(run("show", "--threads", "1", "--json"))
    torch.set_num_threads(threads)
    assert entry["subject"] == "exp"
    assert entry["seconds"] == pytest.approx({"native": row["native"], "ours": row["ours"]}, rel=1e-3)


def test_a_database_is_exported_and_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "exported.json"
    from anychip.pytorch.automatic.judge import judge

    database = judge().database
    database.put(Entry(CHOICE, "exp", "float32[4]c", "source", database.chip, {"choice": "ours"}))
    run("export", str(file))
    assert json.loads(file.read_text())["chip"] == database.chip
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "other"))
    assert json.loads(run("show", "--json")) == []
    run("import", str(file))
    assert [entry["subject"] for entry in json.loads(run("show", "--json"))] == ["exp"]
    file.write_text("something else")
    with pytest.raises(MeasurementsError, match="exported"):
        run("import", str(file))


def test_a_script_is_run_until_its_choices_are_made(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "assert sys.argv[1:] == ['--size', '4096']\n"
        "x = torch.linspace(0, 1, int(sys.argv[2]))\n"
        "for _ in range(20):\n    torch.exp(x)\n"
    )
    rows = json.loads(run("model", str(script), "--size", "4096", "--json"))
    # Where the machine is busy, no choice may have been made yet.
    assert {row["choice"] for row in rows if row["overload"] == "exp"} <= {"native", "ours"}
    script.write_text("raise SystemExit(3)")
    with pytest.raises(TuneError, match="status 3"):
        run("model", str(script))


def test_a_kernel_is_searched_and_kept(file: Path) -> None:
    found = json.loads(
        run(
            "kernel",
            f"{file}:scale",
            "--arg",
            "n=5000",
            "--arg",
            "factor=2.0",
            "--elements",
            "8192",
            "--grid",
            "cdiv(n, BLOCK)",
            "--budget",
            "3",
            "--json",
        )
    )
    assert found["start"]["BLOCK"] == 1024
    assert {step["sizes"]["BLOCK"] for step in found["tried"]} > {512, 2048}
    (entry,) = json.loads(run("show", "--kind", "kernel", "--json"))
    assert entry["values"] == {"BLOCK": found["best"]["BLOCK"]}
    (schedule,) = json.loads(run("show", "--kind", "schedule", "--json"))
    assert schedule["subject"] == "scale"
    assert f"BLOCK=2^{found['best']['BLOCK'].bit_length() - 1}" in schedule["signature"]
    assert "factor:fp32" in entry["signature"]


def test_sizes_that_write_something_else_are_no_candidates(file: Path) -> None:
    from anychip.triton_backend import activate
    from anychip.tune.budget import Budget

    activate()
    tuned = tuned_kernel(f"{file}:tell", [], [], [], "1", 1 << 17)
    steps = list(search(tuned, Budget(5.0)))
    assert {step.sizes["BLOCK"] for step in steps} == {1024}


def interrupt(steps: object) -> object:
    """The same steps, and then ctrl-C."""
    yield from steps  # type: ignore[misc]
    raise KeyboardInterrupt


def test_what_was_found_before_an_interruption_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anychip.tune import kernels

    stock = kernels.search
    monkeypatch.setattr(kernels, "search", lambda *given: interrupt(itertools.islice(stock(*given), 1)))
    arguments = ["kernel", f"{file}:scale", "--arg", "n=500", "--arg", "factor=2.0", "--elements", "512"]
    result = CliRunner().invoke(
        application,
        ["tune", *arguments, "--grid", "cdiv(n, BLOCK)", "--budget", "60"],
        catch_exceptions=False,
    )
    assert result.exit_code == 130
    assert {entry["kind"] for entry in json.loads(run("show", "--json"))} == {"kernel", "schedule"}


def test_an_interruption_ends_the_search_over_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from anychip.tune.workload import Searcher

    monkeypatch.setattr(Searcher, "steps", lambda self: interrupt([]))
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(
            application,
            ["tune", "ops", "exp", "--size", "tiny", "--cpu-time", "--json"],
            catch_exceptions=False,
        )
    finally:
        torch.set_num_threads(threads)
    assert result.exit_code == 130
    (row,) = json.loads(result.stdout)["tiles"]
    assert (row["found"], row["gain"]) == ({}, 1.0)


def test_an_autotuners_configurations_are_searched(file: Path, tmp_path: Path) -> None:
    from anychip.triton_backend import activate
    from anychip.tune.budget import Budget

    activate()
    with file.open("a") as text:
        text.write(
            "\nconfigs = [triton.Config({'BLOCK': b}, num_warps=w) for b in (64, 512) for w in (1, 2)]"
            "\n@triton.autotune(configs, key=['n'])\n@triton.jit\n"
            "def tuned(x_ptr, y_ptr, n, BLOCK: tl.constexpr):\n"
            "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
            "    tl.store(y_ptr + i, tl.load(x_ptr + i, mask=i < n) + 1, mask=i < n)\n"
        )
    tuned = tuned_kernel(f"{file}:tuned", ["n=500"], [], [], "cdiv(n, BLOCK)", 512)
    assert [dict(c) for c in tuned.configurations] == [{"BLOCK": 64}, {"BLOCK": 512}]
    assert tuned.constants_at({"configuration": 1})["BLOCK"] == 512
    first = tuned.start()["configuration"]
    tried = (step.sizes["configuration"] for step in search(tuned, Budget(60.0)))
    assert any(configuration != first for configuration in tried)


def test_what_is_not_said_of_a_kernel_is_asked_for(file: Path) -> None:
    with pytest.raises(CommandError, match="values are needed of n, factor"):
        tuned_kernel(f"{file}:scale", [], [], [], "", 64)
    with pytest.raises(CommandError, match="grid is needed"):
        tuned_kernel(f"{file}:scale", ["n=3", "factor=1.0"], [], [], "", 64)
    fixed = tuned_kernel(f"{file}:scale", ["n=3", "factor=1.0"], [], ["BLOCK=64"], "n", 64)
    assert fixed.tunable == (), "only the schedule is searched"
    with pytest.raises(CommandError, match="no such number"):
        tuned_kernel(f"{file}:scale", ["m=3"], [], [], "", 64)
    with pytest.raises(CommandError, match="names no kernel"):
        tuned_kernel("scale", [], [], [], "", 64)


def test_a_grid_without_a_value_is_refused(file: Path) -> None:
    from anychip.tune.budget import Budget

    tuned = tuned_kernel(f"{file}:scale", ["n=3", "factor=1.0"], [], [], "cdiv(n, NO_SUCH)", 64)
    with pytest.raises(TuneError, match="NO_SUCH"):
        list(search(tuned, Budget(5.0)))

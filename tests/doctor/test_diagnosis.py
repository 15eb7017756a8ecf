"""The doctor's checks: each wrong installation is recognised, and one that breaks stops no other."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import anychip
from anychip.cli.application import application
from anychip.doctor import diagnosis, installation, pytorch, trials
from anychip.doctor import kernel as trial_kernel
from anychip.doctor.check import Check
from anychip.errors import AnychipError
from anychip.new_process import in_new_process
from anychip.pytorch.eager import interface
from anychip.runtime import launches


@pytest.fixture(autouse=True)
def no_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials run in this process, which has imported PyTorch."""
    monkeypatch.setattr(trials, "in_new_process", lambda what, seconds, trial: trial())


def check_of(subject: str) -> Check:
    return diagnosis.guarded(subject, dict(diagnosis.CHECKS)[subject])


def test_report_covers_what_a_user_asks_for() -> None:
    result = CliRunner().invoke(application, ["doctor", "--json"])
    report = json.loads(result.output)
    checks = {check["subject"]: check for check in report["checks"]}
    assert list(checks) == [
        "Anychip",
        "Chip",
        "Threads",
        "PyTorch",
        "Triton",
        "LLVM",
        "Back ends",
        "Kernel cache",
        "Runtime cache",
        "Operators",
        "Eager calls",
        "torch.compile",
        "Kernel",
    ]
    assert report["well"] == all(check["verdict"] != "wrong" for check in checks.values())
    assert result.exit_code == (0 if report["well"] else 1)
    assert checks["Threads"]["details"]["usable"] == len(os.sched_getaffinity(0))


def test_eager_calls_are_native_or_the_missing_symbol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_of("Eager calls").found == "served by native code"
    without = {name: 1 for name in interface.addresses() if name != "aoti_torch_get_sizes"}
    monkeypatch.setattr(interface, "addresses", lambda: without)
    interface.missing.cache_clear()
    try:
        check = check_of("Eager calls")
    finally:
        interface.missing.cache_clear()
    assert check.verdict == "note"
    assert "aoti_torch_get_sizes" in check.found


def test_a_real_kernel_is_compiled_and_its_results_are_right() -> None:
    check = check_of("Kernel")
    assert check.verdict == "ok", check.found
    assert check.details["wrong"] == 0


def test_wrong_results_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_kernel, "run", lambda: ([1.0, 2.0], [1.0, 3.0]))
    check = check_of("Kernel")
    assert check.verdict == "wrong"
    assert "element 1 is 2.0, should be 3.0" in check.found


@pytest.mark.parametrize("subject", ["Operators", "torch.compile"])
def test_pytorch_is_tried_with_the_library(subject: str) -> None:
    before = launches.count()
    check = check_of(subject)
    assert check.verdict == "ok", check.found
    assert "results right" in check.found
    assert launches.count() > before


def test_enable_that_raises_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def enable() -> None:
        raise AnychipError("PyTorch has no overload aten::cholesky")

    monkeypatch.setattr(anychip, "enable", enable)
    check = check_of("Operators")
    assert (check.verdict, check.found) == ("wrong", "AnychipError: PyTorch has no overload aten::cholesky")


def test_an_operator_left_to_pytorch_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anychip, "enable", lambda: None)
    anychip.report(reset=True)
    check = check_of("Operators")
    assert check.verdict == "wrong"
    assert "PyTorch's own kernel" in check.found


@pytest.mark.parametrize("subject", ["Operators", "torch.compile"])
def test_wrong_results_under_pytorch_are_wrong(monkeypatch: pytest.MonkeyPatch, subject: str) -> None:
    monkeypatch.setattr(pytorch, "TOLERANCE", -1.0)
    check = check_of(subject)
    assert check.verdict == "wrong"
    assert "differs from PyTorch's result by" in check.found


def test_a_trial_that_ends_its_process_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "in_new_process", in_new_process)
    monkeypatch.setattr(pytorch, "compiled", functools.partial(os._exit, 134))
    check = check_of("torch.compile")
    assert check.verdict == "wrong"
    assert "one compiled function died with exit status 134" in check.found


@pytest.mark.slow
def test_the_command_says_that_all_is_well() -> None:
    """In processes of their own, as a user runs it."""
    command = [sys.executable, "-c", "from anychip.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "All is well." in done.stdout


def test_a_check_that_breaks_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Check:
        raise OSError("no such table")

    monkeypatch.setattr(diagnosis, "CHECKS", (("Broken", broken), ("LLVM", installation.llvm_version)))
    first, second = diagnosis.diagnose()
    assert (first.verdict, first.found) == ("wrong", "OSError: no such table")
    assert second.verdict == "ok"


@pytest.mark.parametrize(
    ("entries", "verdict", "words"),
    [
        ({}, "wrong", "no cpu back end"),
        ({"cpu": ["anychip.triton_backend", "other_cpu.backend"]}, "wrong", "two cpu back ends: other_cpu"),
    ],
)
def test_registration_of_the_back_end(
    monkeypatch: pytest.MonkeyPatch, entries: dict[str, list[str]], verdict: str, words: str
) -> None:
    found = [
        importlib.metadata.EntryPoint(name, value, installation.ENTRY_POINT_GROUP)
        for name, values in entries.items()
        for value in values
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    check = check_of("Back ends")
    assert check.verdict == verdict
    assert words in check.found
    assert check.remedy


def test_hidden_plug_ins_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_BACKENDS_IN_TREE", "1")
    check = check_of("Back ends")
    assert check.verdict == "wrong"
    assert "TRITON_BACKENDS_IN_TREE" in check.remedy


def test_unusable_cache_folder_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(file))
    check = check_of("Runtime cache")
    assert check.verdict == "wrong"
    assert "ANYCHIP_CACHE_DIR" in check.remedy


@pytest.mark.parametrize(("version", "verdict"), [("3.5.1", "wrong"), ("3.6.0", "ok"), ("3.10.0", "wrong")])
def test_supported_versions_of_triton(monkeypatch: pytest.MonkeyPatch, version: str, verdict: str) -> None:
    import triton

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(triton, "__version__", version)
    assert check_of("Triton").verdict == verdict


def test_more_threads_than_cores_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    check = check_of("Threads")
    assert check.verdict == "note"
    assert "OMP_NUM_THREADS" in check.remedy


def test_another_active_back_end_is_noted_and_the_cpu_tried_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installation, "_active_back_end", lambda: "cuda")
    back_ends = check_of("Back ends")
    assert back_ends.verdict == "note"
    assert "TRITON_DEFAULT_BACKEND=cpu" in back_ends.remedy
    assert check_of("Kernel").verdict == "ok"


def test_no_active_back_end_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("0 active drivers")

    monkeypatch.setattr(installation, "_active_back_end", none)
    check = check_of("Back ends")
    assert check.verdict == "wrong"
    assert "0 active drivers" in check.found

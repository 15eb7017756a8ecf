"""The policy that the environment asks for: what is put into force, and what costs a warning only."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import anychip
from anychip import autoload, environment
from anychip.pytorch import from_environment, policy


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (environment.POLICY, environment.ONLY, environment.EXCLUDE, environment.RUN):
        monkeypatch.delenv(name, raising=False)
    yield
    anychip.disable()


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    autoload.load()
    monkeypatch.setenv(environment.POLICY, "")
    autoload.load()
    assert policy() is None


def test_variables_are_those_of_the_environment() -> None:
    known = {value for value in vars(environment).values() if isinstance(value, str)}
    assert all(variable in known for variables, _, _ in autoload.DOORS for variable in variables)
    for _, module, function in autoload.DOORS:
        assert callable(getattr(importlib.import_module(f"anychip.{module}"), function))


def test_every_program_pays_for_next_to_nothing() -> None:
    """The entry point's module brings no other module but the package and its error class."""
    code = (
        "from __future__ import annotations\nimport sys, os, typing, importlib\nbefore = set(sys.modules)\n"
        "import anychip.autoload\nanychip.autoload.load()\nprint(*sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["anychip", "anychip.autoload", "anychip.errors"]


def test_names_come_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.POLICY, "strict")
    monkeypatch.setenv(environment.ONLY, "softmax, mm,")
    monkeypatch.setenv(environment.EXCLUDE, "linalg")
    autoload.load()
    assert policy() == anychip.pytorch.Policy("strict", frozenset({"softmax", "mm"}), frozenset({"linalg"}))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (environment.POLICY, "protable", "Did you mean portable?"),
        (environment.ONLY, "softmx", "Did you mean softmax"),
    ],
)
def test_a_wrong_value_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(environment.POLICY, "portable")
    monkeypatch.setenv(variable, value)
    autoload.load()
    assert policy() is None
    assert message in caplog.text
    assert "PyTorch runs on its own" in caplog.text


def test_what_was_asked_for_on_the_command_line_ends_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A child of that program, which inherits the variables, goes on with a warning."""
    monkeypatch.setenv(environment.POLICY, "protable")
    asked = {"process": os.getpid(), "report": "", "html": ""}
    monkeypatch.setenv(environment.RUN, json.dumps(asked))
    with pytest.raises(SystemExit, match="1"):
        from_environment.apply()
    assert "Did you mean portable?" in capsys.readouterr().err
    monkeypatch.setenv(environment.RUN, json.dumps(asked | {"process": 1}))
    from_environment.apply()


def test_inductors_workers_compute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.POLICY, "portable")
    worker = "/lib/torch/_inductor/compile_worker/__main__.py"
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, worker])
    autoload.load()
    assert policy() is None

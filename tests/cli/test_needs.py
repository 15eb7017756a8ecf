"""Verbs and functions that need an optional package name the one that is missing, and only that."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import anychip
from anychip import AnychipError, packages
from anychip.cli.application import application, run
from anychip.cli.needs import NEEDS
from anychip.packages import MissingPackage

CALLS = {
    "bench": (["bench", "op", "relu"], ["bench", "kernels"], ["bench", "overhead"], ["bench", "compile"]),
    "chat": (["chat", "a.gguf"],),
    "cluster": (["cluster", "plan", "a.py", "--ranks", "chips.toml"],),
    "conform": (["conform", "--chip", "starfive-jh7110"],),
    "debug": (["debug", "sanitize", "a.py"],),
    "demo": (["demo"],),
    "explain OPERATOR": (["explain", "relu"],),
    "export": (["export", "a.py:f", "--chip", "starfive-jh7110", "-o", "out"],),
    "export MODEL.gguf": (["export", "a.gguf", "--chip", "starfive-jh7110", "-o", "out"],),
    "generate": (["generate", "a.gguf", "--prompt", "x"],),
    "judge": (["judge", "a.py:f", "--task", "softmax"],),
    "link": (["link", "torture"], ["link", "serve", "a.py:f"], ["link", "run", "a.py:f", "a.py:f"]),
    "ops": (["ops"], ["ops", "relu"], ["ops", "--llm"]),
    "pages": (["pages"], ["pages", "--check"]),
    "profile": (["profile", "a.py"],),
    "run": (["run", "a.py"],),
    "serve": (["serve", "a.gguf"],),
    "test": (["test", "relu"], ["test", "--llm"]),
    "train": (["train", "a.py"],),
    "tune": (["tune", "ops", "relu"], ["tune", "gain"]),
}
"""Verb -> command lines of it."""
MISSING = [
    (verb, call, module)
    for verb, calls in CALLS.items()
    for call in calls
    for module in NEEDS[verb]
    if all(map(packages.is_installed, NEEDS[verb]))
]
TITLES = {
    "torch": "PyTorch",
    "numpy": "NumPy",
    "transformers": "transformers",
    "cryptography": "cryptography",
    **{name: name for name in ("gguf", "jinja2", "tokenizers", "fastapi", "uvicorn", "prometheus_client")},
    "msgpack": "msgpack",
    "websockets": "websockets",
}


def _hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_every_verb_with_needs_is_tried():
    assert CALLS.keys() == NEEDS.keys()
    commands = {command.name for command in application.registered_commands}
    commands |= {group.name for group in application.registered_groups}
    assert {verb.split()[0] for verb in NEEDS} <= commands


@pytest.mark.parametrize(
    ("verb", "call", "module"),
    MISSING,
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else value,
)
def test_a_verb_names_the_package_that_is_missing(monkeypatch, capsys, tmp_path, verb, call, module):
    _hide(monkeypatch, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["anychip", *call])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 1
    needs = f"anychip: anychip {verb} needs {TITLES[module]}, which is not installed."
    assert capsys.readouterr().err.splitlines() == [needs, f"  Install it: pip install {module}"]


def test_two_missing_packages_are_one_message(monkeypatch):
    _hide(monkeypatch, "torch", "numpy")
    message = r"^anychip ops needs PyTorch and NumPy, which are not installed\.\n"
    with pytest.raises(MissingPackage, match=message + "  Install them: pip install torch numpy$"):
        packages.require("anychip ops", NEEDS["ops"])


@pytest.mark.parametrize("name", ["Program", "capture", "disable", "enable", "report", "using"])
def test_functions_say_that_pytorch_is_missing(monkeypatch, name):
    _hide(monkeypatch, "torch")
    with pytest.raises(AnychipError, match=rf"^anychip\.{name} needs PyTorch, which is not installed"):
        getattr(anychip, name)
    with pytest.raises(ImportError, match=r"pip install torch$"):
        getattr(anychip, name)


@pytest.mark.parametrize("package", ["pytorch", "llm"])
def test_packages_say_that_pytorch_is_missing(monkeypatch, package):
    _hide(monkeypatch, "torch")
    monkeypatch.delitem(sys.modules, f"anychip.{package}", raising=False)
    with pytest.raises(MissingPackage, match=rf"^anychip\.{package} needs PyTorch"):
        __import__(f"anychip.{package}")


class _Distribution:
    def __init__(self, origin):
        self.origin = origin

    def read_text(self, name):
        assert name == "direct_url.json"
        return self.origin and json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///src/anychip", "dir_info": {"editable": True}}, "pip install -e /src/anychip"),
        (
            {"url": "file:///src/anychip", "dir_info": {}},
            "pip install --force-reinstall --no-deps /src/anychip",
        ),
        ({"url": "file:///a.whl", "archive_info": {}}, "pip install --force-reinstall --no-deps /a.whl"),
        (
            {"url": "https://example.org/anychip.git", "vcs_info": {"vcs": "git", "commit_id": "1"}},
            "pip install --force-reinstall --no-deps git+https://example.org/anychip.git",
        ),
        (None, "pip install --force-reinstall --no-deps anychip"),
    ],
)
def test_the_hint_installs_again_from_where_it_came(monkeypatch, origin, command):
    monkeypatch.setattr(packages.importlib.metadata, "distribution", lambda name: _Distribution(origin))
    assert packages.reinstallation() == command


def test_no_hint_names_an_extra_of_a_package_that_no_index_has():
    sources = Path(anychip.__file__).parent
    hints = [
        path for path in sources.rglob("*.py") if re.search(r"pip install '?anychip\[", path.read_text())
    ]
    assert not hints

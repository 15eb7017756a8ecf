"""The template of a chip maker's package, and the guide for makers: the package is installed, without a
network, into a folder of its own; the commands of the guide are executed with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from anychip import chips
from anychip.chips.loading import load

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "examples" / "vendor_package"
GUIDE = REPOSITORY / "docs" / "add-a-chip.md"

needs_pip = pytest.mark.skipif(
    not {"pip", "hatchling"} <= {found.name for found in distributions()},
    reason="pip and hatchling are needed to install the package without a network",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the template is installed in."""
    folder = tmp_path_factory.mktemp("vendor")
    source = folder / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)],
        check=True,
    )
    return folder / "site"


def run(installed: Path, *command: str, **environment: str) -> str:
    """What a command prints where the package is installed."""
    path = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def anychip(installed: Path, *words: str) -> str:
    return run(installed, "-c", "from anychip.cli import main; main()", *words)


@needs_pip
def test_the_packages_chips_are_in_the_registry(installed: Path) -> None:
    shown = json.loads(anychip(installed, "chips", "show", "acme-one", "--json"))
    assert shown["manufacturer"]["name"] == "Acme"
    assert shown["plugin"]["backend"] == "acme"
    assert shown["evidence"]["tier"] == "plugin"
    assert "acme-one" not in chips.identifiers(), "only where the package is installed"


@needs_pip
def test_a_kernel_runs_through_the_packages_driver(installed: Path) -> None:
    printed = run(installed, "-m", "acme_anychip", TRITON_DEFAULT_BACKEND="acme")
    found = re.fullmatch(r"driver AcmeDriver, target acme, largest error (\S+)\n", printed)
    assert found, printed
    assert float(found[1]) < 1e-6


@needs_pip
def test_the_cpu_stays_the_default_beside_the_package(installed: Path) -> None:
    assert run(installed, "-m", "acme_anychip").startswith("driver CPUDriver, target cpu")


def blocks(language: str) -> list[str]:
    """The guide's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_guides_descriptions_are_read() -> None:
    found = [chip for text in blocks("toml") if "[[chip]]" in text for chip in load(text, "guide")]
    assert len(found) >= 2
    assert any(chip.plugin is not None for chip in found)


@pytest.mark.slow
@needs_pip
def test_the_guides_commands_run(installed: Path) -> None:
    """Those in `console` blocks; what only prepares or takes long is written in `text` blocks."""
    lines = [line.removeprefix("$ ") for text in blocks("console") for line in text.splitlines()]
    assert lines
    for line in lines:
        program, *words = line.split()
        assert program == "anychip", line
        assert anychip(installed, *words).strip(), line

"""The verbs that list what the rooms hold, compared with the rooms."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from anychip import __version__, chips
from anychip.cli.application import application
from anychip.compiler import targets
from anychip.errors import AnychipError
from anychip.ops import registry


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(application, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_operators_are_those_of_the_registry() -> None:
    listed = json.loads(output_of("ops", "--json"))
    assert {record["name"] for record in listed} == set(registry.operators())
    assert {name for record in listed for name in record["overloads"]} == set(registry.overloads())


def test_operators_of_one_domain() -> None:
    domain = next(iter(registry.operators().values())).domain
    listed = json.loads(output_of("ops", "--domain", domain, "--json"))
    assert {record["domain"] for record in listed} == {domain}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ops", "--domain", "nowhere"), "no domain 'nowhere'"),
        (("ops", "softmx"), "Did you mean softmax"),
        (("ops", "--verdict", "pased"), "Did you mean passed"),
        (("ops", "--dtype", "flot32"), "Did you mean float32"),
        (("ops", "--llm", "rmsnorm"), "Did you mean rms_norm"),
        (("ops", "--llm", "--domain", "atention"), "Did you mean attention"),
        (("chips", "--class", "edgeboard"), "Did you mean edge-board"),
        (("chips", "--tier", "emu"), "Did you mean emulated"),
        (("chips", "--maker", "nvdia"), "Did you mean NVIDIA"),
        (("tune", "show", "--kind", "tles"), "Did you mean tiles"),
        (("tune", "ops", "--size", "lage"), "Did you mean large"),
        (("bench", "kernels", "softmx"), "Did you mean softmax"),
        (("bench", "llm", "rmsnorm"), "Did you mean rms_norm"),
        (("bench", "ops", "softmx"), "Did you mean softmax"),
        (("bench", "op", "softmx"), "Did you mean softmax"),
        (("bench", "kernels", "softmax", "--peer", "inducter"), "Did you mean inductor"),
    ],
)
def test_a_filter_that_nothing_can_pass_is_refused_with_the_nearest_name(
    arguments: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(application, arguments)
    assert isinstance(result.exception, AnychipError)
    assert message in str(result.exception)
    assert not result.stdout


def test_chips_are_those_of_the_registry() -> None:
    listed = json.loads(output_of("chips", "--json"))
    assert [record["identifier"] for record in listed] == [chip.identifier for chip in chips.all()]


def test_targets_begin_with_this_machine() -> None:
    listed = json.loads(output_of("chips", "--targets", "--json"))
    assert [record["name"] for record in listed] == [targets.host().name, *targets.names()]


@pytest.mark.parametrize("arguments", [("ops",), ("chips",), ("chips", "--targets")])
def test_tables_have_a_row_for_everything(arguments: tuple[str, ...]) -> None:
    rows = json.loads(output_of(*arguments, "--json"))
    assert len(rows) > 20
    words = set(output_of(*arguments).split())
    missing = {row.get("identifier", row["name"]) for row in rows} - words
    assert not missing


def test_version() -> None:
    assert output_of("--version") == f"anychip {__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anychip", "--version"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, f"anychip {__version__}\n")


def test_the_command_turns_our_errors_into_one_line_and_status_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from anychip.cli import main; main()", "explain", "nowhere.py:kernel"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("anychip: cannot read nowhere.py")
    assert "Traceback" not in done.stderr


def test_a_misspelt_option_is_status_two() -> None:
    assert CliRunner().invoke(application, ["doctor", "--jsn"]).exit_code == 2


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = (
        "import sys, anychip; "
        "print(sorted({'torch', 'triton', 'llvmlite', 'numpy', 'rich', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Every verb takes `--json` and writes JSON and nothing else: most of what is measured is made up here, what
the verbs make of it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anychip.bench import (
    compiling,
    figures,
    models,
    operator_speed,
    operators,
    overhead,
    roofs,
    scaling,
    sections,
    tutorials,
)
from anychip.bench import llm as fused
from anychip.bench.compiling import Compiled
from anychip.bench.figures import Figure
from anychip.bench.measure import Spread
from anychip.bench.models import ModelSpeed
from anychip.bench.overhead import Overhead
from anychip.bench.roofs import Roofs
from anychip.bench.scaling import Scaled
from anychip.bench.serving import rates as served_rates
from anychip.bench.serving.rates import Rates
from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.tune import gain, modelled, tiles
from anychip.tune.gain import Gain

TESTS = Path(__file__).parents[1]
SPREAD = Spread(2e-3, 1e-3, 3e-3, 1e-3)

ELSEWHERE = {
    "chat": "serve/test_verbs.py",
    "cluster plan": "cluster/test_plan.py",
    "conform": "cli/test_export_verbs.py",
    "debug bisect": "debug/bisect/test_verb.py",
    "debug sanitize": "debug/test_sanitize.py",
    "debug reduce": "debug/test_reduce.py",
    "debug trace": "debug/test_trace.py",
    "demo": "demo/test_demonstration.py",
    "doctor": "doctor/test_diagnosis.py",
    "explain": "cli/test_explain.py",
    "export": "cli/test_export_verbs.py",
    "generate": "serve/test_verbs.py",
    "judge": "cli/test_judge.py",
    "link measure": "cli/test_link.py",
    "link plan": "cli/test_link.py",
    "link run": "cli/test_link.py",
    "link serve": "cli/test_link.py",
    "link torture": "cli/test_link.py",
    "migrate": "cli/test_migrate.py",
    "profile": "profile/test_program.py",
    "report": "reports/test_report.py",
    "run": "cli/test_program.py",
    "serve": "serve/http/test_verb.py",
    "test": "cli/test_proof.py",
    "train": "training/test_job.py",
    "tune kernel": "cli/test_tune.py",
    "tune model": "cli/test_tune.py",
    "tune ops": "cli/test_tune.py",
}
"""Verbs whose results cost something, and the tests that read their JSON."""

EXAMPLES = {
    "bench compare": ("{run}", "{run}"),
    "bench compile": ("residual f32 256*",),
    "bench figures": ("--skip-model",),
    "bench kernels": ("residual f32 256*", "--seconds", "0.05"),
    "bench llm": (),
    "bench model": (),
    "bench op": ("relu",),
    "bench ops": ("exp", "--size", "small"),
    "bench overhead": (),
    "bench page": ("{page}",),
    "bench report": ("{run}",),
    "bench scaling": ("residual f32 256*",),
    "bench serve": ("{run}",),
    "bench tutorials": ("{folder}",),
    "cache": (),
    "cache clean": ("--yes", "native"),
    "chips": ("--maker", "nvidia"),
    "chips show": ("nvidia-h100",),
    "ops": ("softmax",),
    "pages": ("--check", "versions"),
    "tune expect": ("aarch64", "{folder}/defaults.json"),
    "tune export": ("{folder}/exported.json",),
    "tune gain": ("residual f32 256*",),
    "tune import": ("{exported}",),
    "tune show": (),
}
"""Verb -> arguments. `{run}` is a saved run, `{page}` a page with a section, `{exported}` a database."""


def verbs() -> Iterator[tuple[str, Any]]:
    """Every verb that does something by itself, hidden ones too."""

    def below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        below_it = getattr(command, "commands", {})
        if path and (not below_it or command.invoke_without_command):
            yield path, command
        for name, child in below_it.items():
            yield from below(child, f"{path} {name}".strip())

    return below(typer.main.get_command(application), "")


@pytest.fixture(autouse=True)
def made_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measurements that take no time, and an empty cache for the verbs that show or change it."""
    if "bench" not in request.node.name:
        monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "cache"))
    speed = ModelSpeed(SPREAD, SPREAD, SPREAD, 1e-7, 1, "")
    calls = overhead.calls()[:1]
    made: list[tuple[Any, str, Any]] = [
        (roofs, "measure", lambda threads: Roofs(threads, {1 << 15: 1e11}, {"f32": 1e11})),
        (operators, "cases", lambda name: []),
        (fused, "cases", lambda patterns: []),
        (tutorials, "cases", lambda load: []),
        (models, "minilm_and_batch", lambda sentences: (None, None)),
        (models, "measure", lambda model, batch, rounds: speed),
        (figures, "measure", lambda *_: [Figure("a launch", 1.0, "us", 3.0, True, "measured")]),
        (sections, "measured", lambda wanted, *_: iter([(name, "new") for name in wanted])),
        (overhead, "calls", lambda: calls),
        (overhead, "measure", lambda call: Overhead("add", 1.0, 3.0, 3.0, 1.0, 1.0, 0.5, 0.5)),
        (compiling, "kernels", lambda case: []),
        (compiling, "measure", lambda kernels: [Compiled("add", 0.1, {"llvm": 0.05}, 9)]),
        (
            served_rates,
            "measure",
            lambda model, *_: Rates(model.name, 1, 1, {"anychip": "1"}, {}, None),
        ),
        (
            scaling,
            "measure",
            lambda case, threads, budget: Scaled(case.label, "a", SPREAD, SPREAD, SPREAD, ""),
        ),
        (operator_speed, "measure", _speed),
        (gain, "measure", lambda case, *_: Gain(case.label, case.family, 2e-3, 1e-3)),
        (tiles, "workloads", lambda names: []),
        (modelled, "cores", list),
    ]
    for module, name, value in made:
        monkeypatch.setattr(module, name, value)


def _speed(sized: operator_speed.SizedOverload, budget: object) -> operator_speed.Speed:
    names = sized.overload.name, sized.operator.name, sized.operator.domain, sized.size.name
    return operator_speed.Speed(*names, "8", 1e-3, 2e-3, 2.0, 1.9, 2.1, 3)


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Files that examples name."""
    run = {
        "rows": [],
        "circumstances": {
            "processor": "a chip",
            "cores": 1,
            "threads": 1,
            "date": "2026-01-01",
            "command": "anychip",
            "versions": {},
        },
        "roofs": None,
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "page.md").write_text("<!-- bench: suite -->\nold\n<!-- end of bench: suite -->\n")
    return {name: str(tmp_path / name) for name in ("run.json", "page.md", "exported.json")} | {
        "folder": str(tmp_path)
    }


def json_of(verb: str, *arguments: str) -> Any:
    result = CliRunner().invoke(application, [*verb.split(), *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_verb_takes_it() -> None:
    for path, command in verbs():
        assert any("--json" in getattr(option, "opts", ()) for option in command.params), path


def test_every_verb_has_an_example() -> None:
    assert sorted(path for path, _ in verbs()) == sorted([*EXAMPLES, *ELSEWHERE])
    for verb, file in ELSEWHERE.items():
        text = (TESTS / file).read_text(encoding="utf-8")
        assert '"--json"' in text
        assert f'"{verb.split()[-1]}"' in text


@pytest.mark.parametrize("verb", EXAMPLES)
def test_it_is_json(verb: str, places: dict[str, str]) -> None:
    if verb == "tune import":
        json_of("tune export", places["exported.json"])
    words = {"run": places["run.json"], "page": places["page.md"], "exported": places["exported.json"]}
    arguments = [text.format(**words, folder=places["folder"]) for text in EXAMPLES[verb]]
    found = json_of(verb, *arguments)
    assert isinstance(found, list | dict)
    assert found or verb in ("bench compare", "tune show")


def test_a_page_that_is_written_is_named(places: dict[str, str]) -> None:
    page = places["page.md"]
    assert json_of("bench page", page) == {"written": page, "sections": ["suite"]}
    assert "new" in Path(page).read_text()
    assert json_of("chips", "--page", page) == {"written": page}


def test_the_older_spelling_says_the_same() -> None:
    result = CliRunner().invoke(application, ["bench", "overhead", "-o", "json"], catch_exceptions=False)
    assert json.loads(result.stdout) == json_of("bench overhead")


def test_two_formats_at_once_are_refused() -> None:
    with pytest.raises(CommandError, match="--json and -o csv exclude each other"):
        json_of("bench kernels", "-o", "csv")

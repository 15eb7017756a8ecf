"""The record of mutants: what it counts as equivalent, what the page says, which tests are nearest."""

from __future__ import annotations

import json
from pathlib import Path

from tools.mutation import page, run, tests

ROOT = Path(__file__).parents[2]
ROWS = [
    {
        "file": "src/anychip/ops/reduce/sums.py",
        "line": 7,
        "change": "a + b -> a - b",
        "result": "killed",
        "seconds": 3,
    },
    {"file": "src/anychip/ops/tuned.py", "line": 3, "change": "1 -> 2", "result": "timeout", "seconds": 3},
    {
        "file": "src/anychip/ops/tuned.py",
        "line": 9,
        "change": "x <= y -> x < y",
        "result": "survived",
        "seconds": 3,
    },
    {
        "file": "src/anychip/compiler/ir/core.py",
        "line": 5,
        "change": "p -> not p",
        "result": "survived",
        "seconds": 3,
    },
    {"file": "src/anychip/compiler/ir/core.py", "line": 6, "change": "q -> not q"},
]
REASONS = {("src/anychip/ops/tuned.py", "x <= y -> x < y"): "x is never y"}
HEAD = {"seed": 1, "commit": "c", "processor": "P", "python": "3", "lines": 9, "skipped": {"annotations": 2}}


def test_survivors_named_as_equivalent_are() -> None:
    results = [run.settled(row, REASONS).get("result") for row in ROWS]
    assert results == ["killed", "timeout", "equivalent", "survived", None]
    no_longer_named = {**ROWS[2], "result": "equivalent"}
    assert run.settled(no_longer_named, {})["result"] == "survived"


def test_the_record_is_a_line_a_mutant() -> None:
    text = run.as_text({**HEAD, "mutants": ROWS})
    assert json.loads(text) == {**HEAD, "mutants": ROWS}
    assert [line for line in text.splitlines() if '"change"' in line] == [
        line for line in text.splitlines() if '"file"' in line
    ]


def test_the_page_counts_and_names() -> None:
    rows = [run.settled(row, REASONS) for row in ROWS]
    text = page.page({**HEAD, "mutants": rows}, REASONS)
    assert "2 of 4 mutants are killed, 50%" in text
    assert "1 were not tried yet" in text
    assert "| **all** | 4 | 1 | 1 | 1 | 1 |" in text
    assert "| ops | 2 | 0 | 1 | 1 | 0 |" in text
    assert "`ops/tuned.py`, line 9: x is never y" in text
    survivors = text[text.index("## Survivors") : text.index("## Equivalent")]
    assert "`compiler/ir/core.py`, line 5" in survivors
    assert "launch" not in survivors


def test_a_changed_file_comes_back_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("A = 1\n")
    before = path.stat().st_mtime_ns
    with run.changed(path, "A = 2\n"):
        assert path.read_text() == "A = 2\n"
    assert path.read_text() == "A = 1\n"
    assert path.stat().st_mtime_ns == before


def test_every_file_has_tests_that_exist() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "src/anychip/compiler").rglob("[a-z]*.py")]
    assert len(files) > 100
    for file in files:
        (step,) = tests.steps(ROOT, file, 1, {}, {})
        assert step.arguments, file
    operators = (ROOT / "src/anychip/ops").rglob("*.py")
    named = {name for path in operators for name in tests.listed(path.relative_to(ROOT).as_posix())}
    named.update(name for file in files for name in tests.listed(file))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_nearest_records_come_first() -> None:
    nearest = tests.nearest_records
    registered = {"exp": ("a.py", 10), "log": ("a.py", 20), "sin": ("b.py", 1), "cos": ("c.py", 1)}
    uses = {"a.py": set(), "shared.py": {"b.py", "c.py"}, "base.py": {"shared.py"}}
    assert nearest("a.py", 19, registered, uses) == ["log", "exp"]
    assert nearest("shared.py", 1, registered, uses) == ["sin", "cos"]
    assert nearest("base.py", 1, registered, uses) == ["sin", "cos"]


def test_importers_are_found_in_the_library() -> None:
    uses = tests.importers(ROOT)
    assert "src/anychip/ops/elementwise/trigonometric.py" in uses["src/anychip/ops/pointwise.py"]
    assert "src/anychip/ops/fft/transforms.py" in uses["src/anychip/ops/fft/lines.py"]


def test_functions_of_mathematics_are_named_by_line(tmp_path: Path) -> None:
    words = tests.words
    path, table = tmp_path / "growth.py", tmp_path / "coefficients.py"
    path.write_text('@function("exp")\ndef exp(m): return TAIL\n\n@function("log")\ndef log(m): ...\n')
    table.write_text("HEAD = (\n 1,\n)\nTAIL = (\n 2,\n)\n")
    assert words(path, 5) == ("log", "exp", "growth")
    assert words(table, 5) == ("growth", "exp", "log")
    assert words(table, 2) == ()

"""docs/architecture.md is true: its rooms are those of the library, in the order in which they may import
each other, and every name between backticks stands in the sources."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
OPTIONS = {"march", "mcpu"}
"""What compilers call a target."""
ROOMS = re.findall(r"^\| `([a-z_/]+?)(?:/|\.py)` \|", PAGE.partition("## The rooms\n")[2], flags=re.MULTILINE)


def layers() -> list[set[str]]:
    """The floors of `import-linter`, the lowest first, as the page writes rooms."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        each for each in pyproject["tool"]["importlinter"]["contracts"] if each["type"] == "layers"
    ]
    return [
        {name.replace("anychip.", "", 1).replace(".", "/") for name in re.findall(r"anychip[\w.]+", layer)}
        for layer in reversed(contract["layers"])
    ]


def test_every_room_is_a_row_and_every_row_a_room() -> None:
    folders = {path.parent for path in (ROOT / "src" / "anychip").glob("*/__init__.py")}
    compiler = {path.parent for path in (ROOT / "src" / "anychip" / "compiler").glob("*/__init__.py")}
    there = {path.name for path in folders} - {"compiler"} | {f"compiler/{path.name}" for path in compiler}
    inner = {"compiler/pipeline", "ops/launching", "ops/kernels"}
    assert set(ROOMS) == there | inner
    assert len(ROOMS) == len(set(ROOMS))


def test_a_room_stands_above_those_of_lower_floors() -> None:
    floor = {room: number for number, rooms in enumerate(layers()) for room in rooms}
    ordered = [floor[room] for room in ROOMS if room in floor]
    assert len(ordered) > 20
    assert ordered == sorted(ordered)


@cache
def words() -> frozenset[str]:
    """Every word of the sources, tests, tools and settings."""
    files = [path for part in ("src", "tools", "tests") for path in (ROOT / part).rglob("*.py")]
    texts = [
        path.read_text(encoding="utf-8") for path in (*files, ROOT / "pyproject.toml", ROOT / "Makefile")
    ]
    texts += [path.name for folder in (".", "docs", "findings") for path in (ROOT / folder).iterdir()]
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def test_every_name_stands_in_the_sources() -> None:
    names = {
        name for code in re.findall(r"`([^`]+)`", FENCED.sub("", PAGE)) for name in re.findall(r"\w+", code)
    }
    assert len(names) > 200
    assert sorted(name for name in names - words() - OPTIONS if not name.isdigit()) == []

"""Which tests are nearest to a place. For the compiler a table says it, file by file. For operators the
records that a file registers do: their tests, those registered nearest to the changed line first, then the
domain's own.

Flows in: a file, a line, and where each record is registered. Flows out: steps of pytest's arguments. A file
without records (a part that several operators share) is watched by those of the files that import it.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .process import Step

RECORDS = "tests/ops/test_operators.py"
REGISTRY = "tests/ops/test_registry.py::test_what_is_said_to_take_out_takes_it"
TABLE = Path(__file__).with_name("nearest.toml")
MOST_RECORDS = 24
"""Overloads whose tests are run for one place, each in two dtypes."""

Registered = Mapping[str, tuple[str, int]]
"""By overload: the file and the line that registers it."""


def note_records(tree: Path, result: Path) -> None:
    """In a process of its own: import the library and write where each overload is registered."""
    from anychip.ops import registry  # pyright: ignore[reportMissingImports]

    rows: dict[str, tuple[str, int]] = {}
    original = registry.register

    def register(operator):
        frame: Any = sys._getframe(1)
        while frame.f_code.co_name != "<module>":
            frame = frame.f_back
        file = Path(frame.f_code.co_filename).resolve().relative_to(tree.resolve()).as_posix()
        rows.update({overload.name: (file, frame.f_lineno) for overload in operator.overloads})
        return original(operator)

    registry.register = register
    registry.operators()
    result.write_text(json.dumps(rows))


def importers(tree: Path, room: str = "src/anychip/ops") -> dict[str, set[str]]:
    """By file of the room: the files of the room that import it, or names of it."""
    files = {path.relative_to(tree).as_posix(): path for path in sorted((tree / room).rglob("*.py"))}
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            folder = Path(name).parents[node.level - 1]
            base = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
            for target in (f"{base}.py", *(f"{base / alias.name}.py" for alias in node.names)):
                if target in found:
                    found[target].add(name)
    return found


def nearest_records(file: str, line: int, registered: Registered, uses: Mapping[str, set[str]]) -> list[str]:
    """The overloads that a place belongs to, nearest first; those of importing files, a few of each, where
    the file registers none."""
    own = [(abs(at - line), name) for name, (path, at) in registered.items() if path == file]
    if own:
        return [name for _, name in sorted(own)][:MOST_RECORDS]
    seen, ring, found = {file}, sorted(uses.get(file, ())), []
    while ring and len(found) < MOST_RECORDS:
        by_file = {user: [n for n, (path, _) in registered.items() if path == user] for user in ring}
        turns = range(MOST_RECORDS)
        rows = [names[turn] for turn in turns for names in by_file.values() if turn < len(names)]
        found += [name for name in rows if name not in found]
        seen.update(ring)
        ring = sorted({next_user for user in ring for next_user in uses.get(user, ())} - seen)
    return found[:MOST_RECORDS]


def words_of(overloads: Iterable[str]) -> list[str]:
    """How tests of a domain call the operators of overloads: `softmax` for `_softmax_backward_data`."""
    names = []
    for overload in overloads:
        base = overload.partition(".")[0].strip("_")
        for ending in ("_backward_data", "_backward", "_forward", "_jvp"):
            base = base.removesuffix(ending)
        for beginning in ("linalg_", "special_", "fft_"):
            base = base.removeprefix(beginning)
        names.append(base)
    return list(dict.fromkeys(names))


def listed(file: str) -> tuple[str, ...]:
    """The tests that the table has for a file: each once, where it comes first."""
    table = tomllib.loads(TABLE.read_text())
    room, _, path = file.removeprefix("src/anychip/").partition("/")
    matching = [prefix for prefix in table[room] if path.startswith(prefix)]
    row = table[room][max(matching, key=len)] if matching else []
    names = [name for word in row for name in (table["groups"][word[1:]] if word[0] == "@" else [word])]
    return tuple(dict.fromkeys(f"tests/{name}" for name in names))


def words(path: Path, line: int) -> tuple[str, ...]:
    """What a file of mathematics is about at a line: the functions that it defines, the nearest first; for a
    table of coefficients those of the files that name it; then the names of the files."""
    lines = path.read_text().splitlines()
    named = [
        (abs(number - line), found[1])
        for number, text in enumerate(lines, 1)
        if (found := re.search(r'@function\("(\w+)"', text))
    ]
    if named:
        return (*(name for _, name in sorted(named)), *path.stem.split("_"))
    tables = [found[1] for text in lines[:line] if (found := re.match(r"([A-Z]\w+)\b.*=", text))]
    users = [
        user
        for user in sorted(path.parent.glob("*.py"))
        if tables and user != path and re.search(rf"\b{tables[-1]}\b", user.read_text())
    ]
    return tuple(dict.fromkeys(word for user in users for word in (*user.stem.split("_"), *words(user, 1))))


def steps(
    tree: Path, file: str, line: int, registered: Registered, uses: Mapping[str, set[str]]
) -> list[Step]:
    """What is run for a place, the nearest first."""
    if not file.startswith("src/anychip/ops/"):
        mathematics = "/codegen/math/" in file
        return [Step(listed(file), first=words(tree / file, line) if mathematics else ())]
    records = nearest_records(file, line, registered, uses)
    mirror = "tests/" + Path(file).parent.relative_to("src/anychip").as_posix()
    own = [mirror] if mirror != "tests/ops" and (tree / mirror).is_dir() else []
    step = Step(
        (RECORDS, REGISTRY, *own, *listed(file)), tuple(records), tuple(words_of(records)), REGISTRY, 25.0
    )
    shared = not any(path == file for path, _ in registered.values())
    return [Step(listed(file), budget=25.0), step] if shared and listed(file) else [step]

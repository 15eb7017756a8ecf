"""Tracing in a program that was not changed: the launch of a kernel is chosen by its name and number, and
what one of its programs computes at a line is written into a folder.

`anychip debug trace` writes what it wants into ANYCHIP_TRACE.
"""

from __future__ import annotations

import atexit
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..environment import TRACE
from ..errors import AnychipError
from ..runtime import launches
from . import watching

ANSWER, VALUES = "trace.json", "values.npy"


def start() -> None:
    """Listen to launches until the one that is wanted has been seen."""
    try:
        wanted = json.loads(os.environ.get(TRACE, ""))
        folder = Path(wanted["folder"])
    except (ValueError, KeyError, TypeError):
        return
    os.environ.pop(TRACE)
    stack = ExitStack()
    seen = 0
    names: set[str] = set()

    def listen(launch: launches.Launch) -> None:
        nonlocal seen
        names.add(launch.kernel)
        if launch.kernel != wanted["kernel"] or seen > wanted["launch"]:
            return
        seen += 1
        if seen == wanted["launch"] + 1:
            answer = _answer(launch, wanted, folder)
            (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")

    def end() -> None:
        stack.close()
        if not (folder / ANSWER).exists():
            answer = {"error": _unseen(wanted, seen, names)}
            (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")

    stack.enter_context(launches.listen(listen))
    atexit.register(end)


def _answer(launch: launches.Launch, wanted: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the launch's program computed, the array itself in a file beside."""
    if launch.origin is None:
        return {"error": f"nobody knows the source of {launch.kernel}"}
    try:
        ttir = launch.origin.ttir()
        watched = watching.watch(ttir, wanted["line"], wanted["name"])
        owners = [owner for _, owner in launch.pointers]
        visits = watching.run(watched, launch.slots, launch.grid, tuple(wanted["program"]), owners)
    except AnychipError as error:
        return {"error": str(error)}
    np.save(folder / VALUES, visits.values)
    return {
        "kernel": launch.kernel,
        "grid": launch.grid,
        "value": watched.name,
        "type": str(watched.type),
        "operation": watched.operation,
        "others": watched.others,
        "passed": visits.passed,
        "nests": watching.nests_of(ttir, wanted["line"]),
    }


def _unseen(wanted: dict[str, Any], seen: int, names: set[str]) -> str:
    if seen:
        return (
            f"the program launched {wanted['kernel']} {seen} times; launch {wanted['launch']} was asked for"
        )
    others = ", ".join(sorted(names)) or "no kernel"
    return f"the program never launched {wanted['kernel']}; it launched {others}"

"""A process in which numba and Anychip take turns: `python -m tests.installation.numba_neighbours STEP ...`

A step is `numba.NAME` or `anychip.NAME`, a function of `numba_steps` or `kernel_steps`, which are imported
with their first step, so that the order of the steps is the order in which libraries come in; `fork` does
every step so far once more in a child, and `threads` does so in threads that run at once. The exit status is
0 when every result was right. Prints the text that a step gives.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Step = Callable[[], str | None]

MODULES = {"numba": "numba_steps", "anychip": "kernel_steps"}
PATIENCE = 300
"""Seconds after which a child that does not end is ended, which fails."""


def step(name: str) -> Step:
    side, _, function = name.partition(".")
    return getattr(importlib.import_module(f"tests.installation.{MODULES[side]}"), function)


def in_a_child(steps: Sequence[Step]) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(PATIENCE)
            for work in steps:
                work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def at_once(steps: Sequence[Step]) -> None:
    with ThreadPoolExecutor(len(steps)) as pool:
        for future in [pool.submit(work) for work in steps]:
            future.result()


def main(names: Sequence[str]) -> None:
    done: dict[str, Step] = {}
    for name in names:
        match name:
            case "fork":
                in_a_child([*done.values()])
            case "threads":
                at_once([*done.values()])
            case _:
                done[name] = step(name)
                if text := done[name]():
                    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A worker process: says that it is ready, reads an item a line, does it, and writes what came of it as a
line of JSON.

    python -m tools.gpu.worker DEVICE [STAND_IN]

Whatever else is printed goes to the standard error. `STAND_IN` is a module with a function `install()`, which
makes a device and says how tensors get there and back."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

from .pool import ENDING
from .record import Item


def main(device: str, stand_in: str = "") -> None:
    """Do items until there are no more, or the device is of no use any longer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from . import placing, steps

    place = importlib.import_module(stand_in).install() if stand_in else placing.on(device)
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        item = Item(*json.loads(line))
        result = done(steps.STEPS[item.step].run, item.name, place)
        answers.write(json.dumps(result) + "\n")
        answers.flush()
        if not place.is_well():
            sys.exit(ENDING)


def done(run: Any, name: str, place: Any) -> dict[str, Any]:
    """The result of an item, an error of its included."""
    start = time.process_time()
    try:
        result = run(name, place)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = (str(error).strip() or "?").splitlines()[0][:300]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        result = {"verdict": "failed", "why": f"{type(error).__name__}: {text} ({where})"}
    return {**result, "processor_seconds": round(time.process_time() - start, 3)}


if __name__ == "__main__":
    main(*sys.argv[1:])

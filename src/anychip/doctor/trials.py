"""Checks that run something: a kernel, an operator of PyTorch, a compiled function. Flows in: nothing. Flows
out: a `Check` each. What PyTorch does is tried in processes of its own, which a fault may end."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

from ..new_process import ProcessError, in_new_process
from . import pytorch
from .check import Check
from .errors import TrialError

TRIAL_SECONDS = 600.0


def kernel() -> Check:
    """The last check: from here on, the CPU is this process's active device."""
    from ..triton_backend import activate
    from . import kernel as trial

    activate()
    start = time.perf_counter()
    got, right = trial.run()
    first = time.perf_counter() - start
    wrong = [index for index, (a, b) in enumerate(zip(got, right, strict=True)) if a != b]
    details = {"elements": len(right), "wrong": len(wrong), "seconds": first}
    if wrong:
        found = f"element {wrong[0]} is {got[wrong[0]]}, should be {right[wrong[0]]} ({len(wrong)} wrong)"
        return Check("Kernel", "wrong", found, "This is a defect of Anychip: please report it.", details)
    return Check(
        "Kernel", "ok", f"compiled, ran, {len(right)} results right, {first * 1e3:.0f} ms", details=details
    )


def operators() -> Check:
    """One operator of PyTorch under `anychip.enable`."""
    return _tried("Operators", "anychip.enable() with one operator", pytorch.operators)


def compiler() -> Check:
    """One function under `torch.compile`."""
    return _tried("torch.compile", "one compiled function", pytorch.compiled)


def _tried(subject: str, what: str, trial: Callable[[], str]) -> Check:
    """What PyTorch does with the library, tried in a process of its own."""
    if not importlib.util.find_spec("torch"):
        return Check(subject, "note", "not tried without PyTorch")
    try:
        return Check(subject, "ok", in_new_process(what, TRIAL_SECONDS, trial))
    except (ProcessError, TrialError) as error:
        return Check(subject, "wrong", str(error), "Run it by hand to see more: README, section PyTorch.")

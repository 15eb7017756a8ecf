"""What `anychip doctor` tries of PyTorch: operators under `enable`, and a small compiled function.

Flows in: nothing. Flows out: what ran and how long it took; a wrong result is a TrialError. The doctor
calls each in a process of its own, which a fault may end.
"""

from __future__ import annotations

import time
from typing import Any

from .errors import TrialError

TOLERANCE = 1e-5
"""Largest difference of results around 1 in f32."""


def operators() -> str:
    """Enable the library and run one operator. Raises TrialError where it is wrong or not ours."""
    import torch

    import anychip

    x = torch.linspace(-4, 4, 1000)
    expected = x.sigmoid()
    start = time.perf_counter()
    anychip.enable()
    got = x.sigmoid()
    seconds = time.perf_counter() - start
    report = anychip.report()
    anychip.disable()
    _compare("sigmoid", got, expected)
    if not report.launches:
        raise TrialError("anychip.enable() left sigmoid to PyTorch's own kernel")
    missing = ", ".join(row.overload for row in report.absent)
    left_out = f"; left out, since this PyTorch lacks them: {missing}" if missing else ""
    return f"enabled, ran, results right, {seconds * 1e3:.0f} ms{left_out}"


def compiled() -> str:
    """Compile one function with `torch.compile` and run it. Raises TrialError where it is wrong, or where
    no kernel of ours ran."""
    import torch

    from ..runtime import launches

    x = torch.linspace(-4, 4, 1024).reshape(32, 32)
    start = time.perf_counter()
    launched = launches.count()
    got = torch.compile(_mixed, backend="anychip")(x)
    seconds = time.perf_counter() - start
    _compare("the compiled function", got, _mixed(x))
    if launches.count() == launched:
        raise TrialError("the compiled function launched no kernel of Anychip")
    return f"compiled, ran, results right, {seconds:.1f} s"


def _mixed(x: Any) -> Any:
    return (x * 2 + 1).softmax(-1).sum(0)


def _compare(what: str, got: Any, expected: Any) -> None:
    difference = (got - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise TrialError(f"{what} differs from PyTorch's result by {difference:g}; please report it")

"""A task in words, for people and programs that write a kernel for it: plain data."""

from __future__ import annotations

import secrets
from typing import Any

from ..evidence.inputs import summary
from .arena import DTYPES
from .errors import TaskError
from .expected import forward
from .tasks import Draw, find
from .verdict import CHECKS

EXAMPLES = (0.0, 0.4, 0.7)
"""How large the calls that are shown are."""
ALLOWED = (
    "a candidate allocates, fills, copies, views, and launches Triton kernels; operators of PyTorch's that "
    "compute are refused, and so is what reads values on the host"
)


def description(name: str, dtype: str) -> dict[str, Any]:
    """What a candidate is given and must give. The shapes shown are examples: a judgement draws others.
    Raises TaskError."""
    task = find(name)
    if dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise TaskError(f"there is no element type {dtype!r}; those known are {known}.")
    calls = []
    for scale in EXAMPLES:
        draw = Draw(secrets.randbits(60), secrets.randbits(60), scale, DTYPES[dtype], "normal")
        arguments = task.draw(draw)
        results = forward(task, arguments, DTYPES[dtype]).native
        given = [*arguments.positional, *arguments.keywords.values()]
        calls.append({"arguments": summary(given), "results": summary(results)})
    return {
        "task": task.name,
        "source": task.source,
        "calls": calls,
        "dtypes": [str(x).removeprefix("torch.") for x in task.dtypes],
        "any_strides": task.strided,
        "gradients": "checked where the candidate has them" if task.differentiable else "not asked for",
        "allowed": ALLOWED,
        "checks": dict(CHECKS),
    }

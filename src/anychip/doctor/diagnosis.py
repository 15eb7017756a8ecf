"""The checks behind `anychip doctor`: what is installed, what is active, what is wrong.

Flows in: the environment of this process. Flows out: a list of `Check` records, each with a verdict,
what was found, and how to mend what is wrong. A check that fails never stops the others.
"""

from __future__ import annotations

from collections.abc import Callable

from . import caches, installation, trials
from .check import Check

CHECKS: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("Anychip", installation.anychip_version),
    ("Chip", installation.host_chip),
    ("Threads", installation.threads),
    ("PyTorch", installation.pytorch_version),
    ("Triton", installation.triton_version),
    ("LLVM", installation.llvm_version),
    ("Back ends", installation.back_ends),
    ("Kernel cache", caches.kernel_cache),
    ("Runtime cache", caches.runtime_cache),
    ("Operators", trials.operators),
    ("Eager calls", installation.eager_calls),
    ("torch.compile", trials.compiler),
    ("Kernel", trials.kernel),
)
"""In the order in which a failure of one explains those after it."""


def diagnose() -> list[Check]:
    """Run every check, in their order."""
    return [guarded(subject, check) for subject, check in CHECKS]


def guarded(subject: str, check: Callable[[], Check]) -> Check:
    """The check, or what it raised as something wrong."""
    try:
        return check()
    except Exception as error:
        return Check(
            subject, "wrong", f"{type(error).__name__}: {error}", "See the message; anychip -v shows more."
        )


def well(checks: list[Check]) -> bool:
    """Whether nothing is wrong; notes are no fault."""
    return all(check.verdict != "wrong" for check in checks)

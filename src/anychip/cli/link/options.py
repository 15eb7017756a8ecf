"""Options that verbs of the link share, and times with units."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CommandError
from ..files import function_of

if TYPE_CHECKING:
    from ...link.policy import Policy

_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")

TokenFile = Annotated[
    Path | None, typer.Option(help="A file with the shared token; else ANYCHIP_LINK_TOKEN is read.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Go without TLS over a network that is safe by itself.")]
Hertz = Annotated[float, typer.Option("--hz", help="The control rate.")]
PolicyFile = Annotated[
    str,
    typer.Argument(
        metavar="POLICY", help="FILE.py:NAME, a function that returns the policy with its stages."
    ),
]


def nanoseconds(option: str, text: str) -> int:
    """A time such as 80ms. Raises CommandError for what is none."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise CommandError(
            f"{option} {text}: this is no time.", "Write a number with us, ms or s, such as 80ms."
        )
    return round(float(found[1]) * _UNITS[found[2]])


def policy_of(subject: str) -> Policy:
    """The policy that a subject names. Raises CommandError."""
    from ...link.policy import Policy

    made = function_of(subject)()
    if not isinstance(made, Policy):
        raise CommandError(
            f"{subject} gave a {type(made).__name__}, not a policy.",
            "Return anychip.link.Policy(stages=..., ...).",
        )
    return made

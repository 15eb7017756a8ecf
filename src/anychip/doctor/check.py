"""One line of the doctor's screen: what was looked at, what was found, and how to mend what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Check:
    """One line of the doctor's screen. `verdict` is "note" where something may be missed, "wrong"
    where kernels will not run; `remedy` says what to do."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)

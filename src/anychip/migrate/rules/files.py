"""Files that could not be read: what they hold is not known to be portable."""

from __future__ import annotations

from ..rule import Need, Rule

UNREADABLE = Rule(
    "AC001",
    "unreadable-file",
    "this file cannot be read as Python: {found}",
    "Mend it, or read it with a Python that knows its syntax; nothing in it was looked at.",
    need=Need.UNKNOWN,
)

RULES = (UNREADABLE,)

"""What stands in for a function or method of another library refuses what it does not know, so that a new
keyword of a later version is an error and not a wrong result. Flows in: keywords. Flows out: errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...ops.errors import ArgumentError


def refuse_unknown(name: str, keywords: Mapping[str, Any], ignored: Collection[str]) -> None:
    """Raise ArgumentError if a keyword that is not in `ignored` has a value other than None or False."""
    for keyword, value in keywords.items():
        if keyword in ignored or value is None or value is False:
            continue
        raise ArgumentError(
            f"{name}: the keyword {keyword!r} ({type(value).__name__}) is not known here and may change the "
            f"result; leave it out, or take the model before fuse()"
        )

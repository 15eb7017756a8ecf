"""What somebody may have meant by a name that does not exist, for messages of errors. Flows in: the name and
those that exist. Flows out: a sentence, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

NEAR = 0.5
"""How alike two names have to be, by `difflib`'s ratio, for one to be proposed for the other."""
MOST_LISTED = 40
"""Names that are listed in full where none is near; of longer lists nothing is said."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that lists the nearest known names, or all of them when none is near and they are few. Case
    does not count."""
    names = {each.lower(): each for each in sorted(known)}
    near = get_close_matches(name.lower(), names, n=3, cutoff=NEAR)
    if near:
        return "Did you mean " + " or ".join(names[each] for each in near) + "?"
    return "Known: " + ", ".join(names.values()) + "." if 0 < len(names) <= MOST_LISTED else ""

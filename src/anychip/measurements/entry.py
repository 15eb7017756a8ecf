"""One measurement, and its form on disk: a line of JSON that carries its own checksum. Flows in: what was
measured of what, on which chip, from which source. Flows out: a line; or, from a line, the entry or the
reason why it is not to be trusted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 1
CHOICE, TILES, KERNEL, SCHEDULE = "choice", "tiles", "kernel", "schedule"
KINDS = (CHOICE, TILES, KERNEL, SCHEDULE)
"""Which of PyTorch's kernel and ours; tile sizes of the library; constants of a user's kernel; what the
scheduler is told for a kernel."""


class Unusable(ValueError):
    """A stored entry that is damaged or of another format."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`subject` is an overload, a set of tiles or a kernel; `signature` the dtypes and the class of sizes;
    `source` a digest of the code that was measured, `chip` the key of the machine. `values` is what was
    chosen, `seconds` the time of each candidate, `made` the day."""

    kind: str
    subject: str
    signature: str
    source: str
    chip: str
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    made: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a newer entry replaces an older one by."""
        return self.kind, self.subject, self.signature


def to_line(entry: Entry) -> str:
    """The entry as a line of JSON with the format and a checksum."""
    body = json.dumps({"format": FORMAT, **asdict(entry)}, sort_keys=True, separators=(",", ":"))
    return json.dumps([_checksum(body), body], separators=(",", ":"))


def from_line(line: str) -> Entry:
    """The entry of a line. Raises Unusable for anything that `to_line` did not write."""
    try:
        checksum, body = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        raise Unusable("not a line of this database") from None
    if not isinstance(body, str) or checksum != _checksum(body):
        raise Unusable("the checksum does not match")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("not a line of this database") from None
    return from_fields(fields)


def from_fields(fields: Any) -> Entry:
    """The entry of a mapping of its fields and `format`. Raises Unusable where they are not as they must."""
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise Unusable("another format")
    given = {name: value for name, value in fields.items() if name != "format"}
    texts = {"kind", "subject", "signature", "source", "chip", "made"}
    if set(given) != texts | {"values", "seconds"} or not all(isinstance(given[t], str) for t in texts):
        raise Unusable("fields are missing, unknown or of a wrong type")
    if given["kind"] not in KINDS or not isinstance(given["values"], dict):
        raise Unusable("an unknown kind, or no values")
    seconds = given["seconds"]
    if not isinstance(seconds, dict) or not all(_is_time(value) for value in seconds.values()):
        raise Unusable("times that are no times")
    return Entry(**given)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]

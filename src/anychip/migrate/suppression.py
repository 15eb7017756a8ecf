"""What a user does not want to hear of: `# noqa` comments, and a baseline of known findings.

Flows in: lines and findings. Flows out: those that remain. A baseline knows a finding by its file, its code
and the text of its line, so that lines may move; each entry says how many there are.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import MigrateError
from .finding import Finding

VERSION = 1
_NOQA = re.compile(r"(?:#|//)\s*noqa\b(?::\s*([A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*))?", re.IGNORECASE)

Key = tuple[str, str, str]
"""File, code, text of the line."""


def is_ignored(comment: str, code: str) -> bool:
    """Whether a comment asks that a code be ignored: by `noqa` alone, or with the code."""
    hit = _NOQA.search(comment)
    if hit is None:
        return False
    return hit[1] is None or code in re.split(r"[,\s]+", hit[1].upper())


def key(finding: Finding, line: str) -> Key:
    """What a baseline knows a finding by."""
    return finding.file, finding.code, line.strip()


def write_baseline(path: Path, known: Iterable[Key]) -> None:
    """Write the baseline of findings. Raises MigrateError where the file cannot be written."""
    rows = [
        {"file": file, "code": code, "line": line, "count": count}
        for (file, code, line), count in sorted(Counter(known).items())
    ]
    text = json.dumps({"version": VERSION, "findings": rows}, indent=1, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MigrateError(f"{path}: the baseline cannot be written: {error.strerror}.") from error


def read_baseline(path: Path) -> Counter[Key]:
    """How many findings of each kind are known. Raises MigrateError for what is no baseline."""
    advice = "Write one: anychip migrate PATH --write-baseline FILE."
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise MigrateError(f"{path}: a baseline of version {data['version']!r}, not {VERSION}.", advice)
        return Counter({(r["file"], r["code"], r["line"]): int(r["count"]) for r in data["findings"]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MigrateError(f"{path}: this is no baseline ({error}).", advice) from error


def unknown(findings: Iterable[tuple[Finding, Key]], baseline: Mapping[Key, int]) -> list[Finding]:
    """The findings that a baseline does not have, in their order."""
    left = Counter(baseline)
    found = []
    for each, its_key in findings:
        if left[its_key] > 0:
            left[its_key] -= 1
        else:
            found.append(each)
    return found

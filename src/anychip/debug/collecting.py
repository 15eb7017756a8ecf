"""Findings of a whole run: each fault once, however many launches and lanes showed it.

In: findings of launches as `runtime.checks` tells them. Out: a list in the order of appearance, as text and
JSON, also through a folder into which several processes write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import AnychipError
from ..runtime.findings import Finding


class UnreadableReport(AnychipError):
    """A file of findings is not what a process wrote."""


class Collector:
    """Gathers findings; `add` is a listener of `runtime.checks`."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Finding] = {}

    def add(self, findings: Sequence[Finding]) -> None:
        """Take the findings of one launch."""
        for finding in findings:
            known = self._found.get(finding.key)
            self._found[finding.key] = finding if known is None else known.again(finding)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One for each fault, the earliest first."""
        return tuple(self._found.values())

    def write(self, folder: Path) -> Path:
        """Write the findings into a file of this process's own."""
        file = folder / f"findings-{os.getpid()}.json"
        file.write_text(json.dumps([finding.to_json() for finding in self.findings]), encoding="utf-8")
        return file


def read(folder: Path) -> list[dict[str, Any]]:
    """The findings of all processes that wrote into a folder. Raises UnreadableReport."""
    found: list[dict[str, Any]] = []
    for file in sorted(folder.glob("findings-*.json")):
        try:
            found += json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UnreadableReport(f"{file} holds no findings: {error}") from None
    return found

"""Findings as plain data for JSON. Flows in: findings. Flows out: a dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..finding import Finding


def report(findings: Iterable[Finding], portable: float) -> dict[str, Any]:
    """`findings` in the order of files and lines, and `portable`, the share of files without any (0 to 1)."""
    return {"findings": [asdict(each) for each in findings], "portable": round(portable, 4)}

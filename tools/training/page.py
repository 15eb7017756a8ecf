"""The tables of docs/training.md. Flows in: the records under evidence/training/. Flows out: the page with
its tables as the records give them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anychip.bench.page import replaced

from . import curves, parity

SECTIONS: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "parity": (parity.RECORD, parity.section),
    "curves": (curves.RECORD, curves.section),
}
"""Name of a table -> its record, and what makes it from that."""


def written(text: str) -> str:
    """docs/training.md with its tables made anew."""
    made = {name: of(json.loads(file.read_text(encoding="utf-8"))) for name, (file, of) in SECTIONS.items()}
    return replaced(text, made)

"""The table of rules in docs/migration.md. Flows in: the rules. Flows out: Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .fixing.sites import BY_MODULE, WITH_HELPER
from .rule import Need, Rule
from .rules import FAMILIES, devices, mixed_precision

BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"
_NEEDS = {Need.CUDA_DEVICE: "a `cuda` device", Need.NVIDIA: "NVIDIA", Need.UNKNOWN: ""}
_FIXED = {
    devices.MOVE.code: "`--fix`",
    devices.NAME.code: "`--fix`, in part",
    devices.TEST.code: "`--unsafe-fixes`, in part",
    mixed_precision.AUTOCAST.code: "`--unsafe-fixes`, in part",
    mixed_precision.SCALER.code: "`--unsafe-fixes`, in part",
}


def written(text: str) -> str:
    """The page with its table as the rules give it. Raises ValueError for a page without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} and {END}")
    tables = "\n\n".join(_families())
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _families() -> Iterator[str]:
    for title, rules in FAMILIES.items():
        rows = [f"| {r.code} | {r.name} | {_cell(r)} | {_NEEDS[r.need]} | {_fixed(r)} |" for r in rules]
        head = "| code | name | what to do | runs on | rewritten by |\n|---|---|---|---|---|"
        yield "\n".join([f"### {title}\n", head, *rows])


def _cell(rule: Rule) -> str:
    return re.sub(r"\s+", " ", rule.advice).replace("|", "\\|")


def _fixed(rule: Rule) -> str:
    if any(name in rule.names for name in WITH_HELPER):
        return "`--fix`" if len(rule.names) == 1 else "`--fix`, in part"
    if rule.code in BY_MODULE:
        return "`--unsafe-fixes`"
    return _FIXED.get(rule.code, "")

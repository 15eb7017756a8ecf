"""The page of a room's fused operators, such as `docs/llm.md`. Flows in: the room's registry and the records
of runs. Flows out: Markdown; also the rows that `anychip ops --domain ROOM` shows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..markdown import table
from ..ops.fused import Fused
from ..ops.rooms import Room
from . import fused_record
from .page import ABBREVIATED


def command(room: Room) -> str:
    """What writes the page of a room."""
    return f"anychip ops --domain {room.name} --page docs/{room.name}.md"


@dataclass(frozen=True, slots=True)
class FusedRow:
    """One fused operator. `what` is the first sentence of its documentation; `evidence` says, for each chip,
    what a run found."""

    name: str
    family: str
    signature: str
    what: str
    kernels: tuple[str, ...]
    dtypes: tuple[str, ...]
    differentiable: bool
    evidence: Mapping[str, str]

    def matches(self, words: str) -> bool:
        """Whether every word is in the name, the family or what it does."""
        text = " ".join((self.name, self.family, self.what))
        return all(word in text for word in words.split())


def rows(room: Room, records: Sequence[Mapping[str, Any]] = ()) -> list[FusedRow]:
    """Every fused operator of a room, by family and name."""
    ordered = sorted(room.operators().values(), key=lambda operator: (operator.family, operator.name))
    return [_row(operator, records) for operator in ordered]


def _row(operator: Fused, records: Sequence[Mapping[str, Any]]) -> FusedRow:
    return FusedRow(
        name=operator.name,
        family=operator.family,
        signature=", ".join(_parameter(p) for p in inspect.signature(operator.function).parameters.values()),
        what=_first_sentence(operator.function.__doc__ or ""),
        kernels=tuple(dict.fromkeys(kernel.__name__ for kernel in operator.kernels)),
        dtypes=tuple(str(dtype).removeprefix("torch.") for dtype in operator.dtypes),
        differentiable=operator.differentiable,
        evidence={record["chip"]: fused_record.found(record["results"], operator.name) for record in records},
    )


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}"


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, without line breaks."""
    joined = " ".join(text.split("\n\n")[0].split())
    head, found, _ = joined.partition(". ")
    return head + "." if found else joined


def sentence(listed: Sequence[FusedRow]) -> str:
    """The counts in words."""
    families = len({row.family for row in listed})
    differentiable = sum(row.differentiable for row in listed)
    return (
        f"{len(listed)} fused operators in {families} families, {differentiable} of them with gradients of "
        f"their own."
    )


def page(room: Room, records: Sequence[Mapping[str, Any]]) -> str:
    """The whole page of a room."""
    listed = rows(room, records)
    own = room.page()
    lines = [
        own.introduction,
        f"{sentence(listed)} This page is written by `{command(room)}` from the registry and the records in "
        f"`evidence/fused/{room.name}/`, which `{fused_record.command(room)}` writes: "
        "samples of an operator against a plain PyTorch composition in float64, with gradients where there "
        "are any, and with our kernels launched.",
        "",
        _evidence(records),
    ]
    for family in sorted({row.family for row in listed}):
        lines += ["", f"## {family.replace('_', ' ')}", ""]
        lines.append(_table([row for row in listed if row.family == family], records))
    lines += own.sections()
    return "\n".join(lines) + "\n"


def _evidence(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return "No run is recorded yet."
    rows = []
    for record in records:
        of = record["operators"]
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        rows.append(
            (
                record["chip"],
                record["tier"],
                f"{of['passed']} / {of['tried']} / {of['total']}",
                f"{record['date']}, {record['commit']}, {versions}{_earlier(record)}",
            )
        )
    return table(("chip", "tier", ("passed / tried / total", "right"), "date, commit, versions"), rows)


def _earlier(record: Mapping[str, Any]) -> str:
    """Runs that a record keeps results of."""
    runs = record.get("earlier", ())
    return "".join(
        f"; {run['operators_kept']} operators in runs until {run['date']}, {run['commit']}"
        for run in runs[:1]
    )


def _table(listed: Sequence[FusedRow], records: Sequence[Mapping[str, Any]]) -> str:
    chips = [record["chip"] for record in records]
    heads = ["operator", "what", "element types", "differentiable", *chips]
    rows = (
        [
            f"`{row.name}({row.signature})`",
            row.what,
            " ".join(ABBREVIATED.get(name, name) for name in row.dtypes),
            "yes" if row.differentiable else "no",
            *(row.evidence[chip] for chip in chips),
        ]
        for row in listed
    )
    return table(heads, rows)

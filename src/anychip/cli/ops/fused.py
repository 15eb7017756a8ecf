"""The fused operators of a room on the command line: `anychip ops --domain robot` lists them, `anychip test
--domain robot` proves them on the machine at hand. Flows in: a room, names, words. Flows out: tables, JSON,
the room's page, its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..console import messages, output, progress, table, write_json, written
from ..errors import INTERRUPTED, CommandError, did_you_mean

if TYPE_CHECKING:
    from ...ops.rooms import Room


def listed(room: Room, sought: str, family: str, page: Path | None, as_json: bool) -> None:
    """What `anychip ops --domain ROOM` shows or writes."""
    from ...evidence import fused_page, fused_record

    records = fused_record.read_all(room)
    if page is not None:
        page.write_text(fused_page.page(room, records), encoding="utf-8")
        written(page, as_json)
        return
    known = fused_page.rows(room, records)
    families = {row.family for row in known}
    if family and family not in families:
        raise CommandError(
            f"there is no family {family!r} of fused operators for {room.title}.",
            did_you_mean(family, families),
        )
    if not any(row.matches(sought) for row in known):
        names = {row.name for row in known}
        raise CommandError(f"no fused operator has {sought!r} in its name.", did_you_mean(sought, names))
    shown = [row for row in known if family in ("", row.family) and row.matches(sought)]
    if as_json:
        write_json([asdict(row) | {"evidence": dict(row.evidence)} for row in shown])
        return
    columns = (("operator", "left"), "family", "what", "element types", "differentiable", "evidence")
    lines = (
        (
            row.name,
            row.family,
            row.what,
            " ".join(row.dtypes),
            "yes" if row.differentiable else "no",
            "; ".join(f"{chip}: {text}" for chip, text in row.evidence.items()) or "none",
        )
        for row in shown
    )
    output.print(table(columns, lines))
    output.print(fused_page.sentence(shown), highlight=False)


def prove(
    room: Room, names: Sequence[str], all_samples: bool, write_record: bool, resume: bool, as_json: bool
) -> None:
    """What `anychip test --domain ROOM` does: every dtype, with two samples in the first one and one
    in the others, or with all of them; with `resume`, only what the chip's record does not show as passed.
    Exit status 1 if one failed."""
    from ...evidence import fused, fused_record

    known = room.operators()
    for name in names:
        if name not in known:
            raise CommandError(
                f"there is no fused operator {name!r} for {room.title}.", did_you_mean(name, known)
            )
    if write_record and names:
        raise CommandError("--record is for all fused operators.", "Leave the names out.")
    earlier = fused_record.earlier_of(room) if resume else None
    shown = {} if earlier is None else earlier["results"]
    wanted = names or [name for name in known if not fused_record.found(shown, name).startswith("passed")]
    tasks = [(known[name], dtype) for name in wanted for dtype in known[name].dtypes]
    findings, interrupted = [], False
    with progress(quiet=as_json) as display:
        bar = display.add_task("fused operators", total=len(tasks))
        try:
            for operator, dtype in tasks:
                samples = None if all_samples else fused.sparing(operator, dtype)
                findings.append(fused.prove(operator, dtype, samples))
                name = f"{operator.name} {str(dtype).removeprefix('torch.')}"
                display.update(bar, advance=1, description=name)
        except KeyboardInterrupt:
            interrupted = True
    if write_record and not interrupted:
        made = fused_record.completed(room, fused_record.compose(room, findings), earlier)
        messages.print(f"wrote {fused_record.write(room, made)}")
    if as_json:
        write_json([asdict(finding) | {"passed": finding.passed} for finding in findings])
    else:
        columns = (
            "operator",
            "dtype",
            "verdict",
            ("samples", "right"),
            ("gradients", "right"),
            ("launches", "right"),
            "failures",
        )
        lines = (
            (
                finding.name,
                finding.dtype,
                "passed" if finding.passed else "failed",
                str(finding.samples),
                str(finding.gradients),
                str(finding.launches),
                "; ".join(finding.failures),
            )
            for finding in findings
        )
        output.print(table(columns, lines))
    if interrupted:
        messages.print(f"anychip: interrupted after {len(findings)} of {len(tasks)} proofs")
        raise typer.Exit(INTERRUPTED)
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)

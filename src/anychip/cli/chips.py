"""`anychip chips`: the chips of the registry, what was shown of each, and the processors that kernels are
compiled for. Flows in: the chip room, the compiler's table of targets, this machine's description. Flows
out: a table, a page or JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import output, table, write_json, written
from .errors import CommandError, did_you_mean, require_known
from .options import AsJson

application = typer.Typer(help="List chips and what was shown of them.", invoke_without_command=True)


@application.callback()
def chips(
    context: typer.Context,
    targets: Annotated[
        bool, typer.Option("--targets", help="List what --target takes instead of products.")
    ] = False,
    category: Annotated[str, typer.Option("--class", help="Only this class, such as edge-board.")] = "",
    maker: Annotated[str, typer.Option(help="Only chips of makers with this in their name.")] = "",
    tier: Annotated[str, typer.Option(help="Only chips of this tier of evidence.")] = "",
    page: Annotated[Path | None, typer.Option(help="Write the page of chips to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the chips that are known, or the targets that kernels are compiled for."""
    if context.invoked_subcommand is not None:
        return
    if targets:
        _show_targets(as_json)
    elif page is not None:
        from ..chips import evidence
        from ..chips.page import page as text

        page.write_text(text(list(evidence.records())), encoding="utf-8")
        written(page, as_json)
    else:
        _require_filters(category, maker, tier)
        _show_chips(category, maker.lower(), tier, as_json)


@application.command("show")
def show(
    identifier: Annotated[str, typer.Argument(help="A chip, such as nvidia-h100.")],
    as_json: AsJson = False,
) -> None:
    """Show everything that is known of one chip."""
    from ..chips import evidence, get
    from ..chips.loading import CATEGORIES

    chip = get(identifier)
    known = list(evidence.records())
    found = evidence.standing(chip, known)
    if as_json:
        write_json({**asdict(chip), "evidence": asdict(found)})
        return
    roofs = [
        f"{value:g} T{'OPS' if name == 'int8' else 'FLOPS'} {name}" for name, value in chip.tflops.items()
    ]
    rows: list[tuple[str, str]] = [
        ("chip", f"{chip.name}, {chip.manufacturer.name}, {chip.year}"),
        ("class", CATEGORIES[chip.category]),
        *(("unit", _unit_text(asdict(unit))) for unit in chip.units),
        (
            "memory",
            ", ".join(filter(None, (_amount(chip.memory_gib, "GiB"), _amount(chip.memory_gbs, "GB/s")))),
        ),
        ("published roofs", ", ".join(roofs)),
        ("source", chip.source),
        ("found in", ", ".join(chip.found_in)),
        ("evidence", " ".join(filter(None, (found.text, found.setting, found.date, found.commit)))),
        ("remark", found.remark),
    ]
    if chip.plugin is not None:
        plugin = chip.plugin
        rows += [
            ("device in PyTorch", plugin.device),
            ("Triton back end", plugin.backend),
            ("needs", plugin.package),
            ("lacks", ", ".join(plugin.without)),
        ]
    output.print(table(("", ""), [row for row in rows if row[1]]))


def _amount(value: int, unit: str) -> str:
    return f"{value} {unit}" if value else ""


def _unit_text(unit: dict[str, Any]) -> str:
    parts = [f"{unit['cores'] or '?'} x {unit['name']} ({unit['target']})"]
    parts.append(_amount(unit["clock_mhz"], "MHz"))
    parts += [_amount(unit[f"{level}_kib"], f"KiB {level}") for level in ("l1d", "l2", "l3")]
    return ", ".join(filter(None, parts))


def _require_filters(category: str, maker: str, tier: str) -> None:
    """Raise CommandError for a filter that no chip can pass, since an empty table would hide a typo."""
    from ..chips import all
    from ..chips.evidence import TIERS
    from ..chips.loading import CATEGORIES

    require_known("--class", category, CATEGORIES)
    require_known("--tier", tier, TIERS)
    makers = {chip.manufacturer.name for chip in all()}
    if not any(maker.lower() in name.lower() for name in makers):
        raise CommandError(f"--maker {maker}: no maker has this in its name.", did_you_mean(maker, makers))


def _show_chips(category: str, maker: str, tier: str, as_json: bool) -> None:
    from ..chips import all, detect_host, evidence
    from ..chips.page import units_text

    here = detect_host().chip
    known = list(evidence.records())
    found = [
        (chip, standing)
        for chip in all()
        if category in ("", chip.category) and maker in chip.manufacturer.name.lower()
        if tier in ("", (standing := evidence.standing(chip, known)).tier)
    ]
    if as_json:
        write_json([{**asdict(c), "evidence": asdict(s), "here": c == here} for c, s in found])
        return
    rows = (
        (
            f"{chip.identifier} (this machine)" if chip == here else chip.identifier,
            chip.name,
            chip.manufacturer.name,
            chip.category,
            chip.year,
            units_text(chip),
            standing.text,
        )
        for chip, standing in found
    )
    columns = (("chip", "left"), "name", "maker", "class", "year", "units (target)", "evidence")
    output.print(table(columns, rows))
    makers = len({chip.manufacturer.name for chip, _ in found})
    output.print(f"{len(found)} chips of {makers} makers.")


def _show_targets(as_json: bool) -> None:
    from ..compiler.targets import get, host, names

    known = [host(), *(get(name) for name in names())]
    if as_json:
        write_json([asdict(target) for target in known])
        return
    rows = (
        (
            target.name,
            target.isa,
            target.cpu,
            f"{target.vector_registers} x {target.vector_bits} bits" if target.vector_bits else "none",
            target.triple,
        )
        for target in known
    )
    output.print(table(("target", "ISA", "core", "vector registers", "triple"), rows))
    output.print("GPUs (sm_90, sm_120, gfx942, gfx1100 and the like) are compiled for by stock Triton.")


VERBS = {"chips": application}

"""`anychip chips`: the chips of the registry and the processors that kernels are compiled for.

Flows in: the chip room's registry, the compiler's table of targets, this machine's description.
Flows out: a table or JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .console import output, table, write_json


def chips(
    targets: Annotated[
        bool, typer.Option("--targets", help="List what --target takes instead of products.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the chips that are known, or the targets that kernels are compiled for."""
    if targets:
        _show_targets(as_json)
    else:
        _show_chips(as_json)


def _show_chips(as_json: bool) -> None:
    from ..chips import all, detect_host

    here = detect_host().chip
    if as_json:
        write_json([{**asdict(chip), "here": chip == here} for chip in all()])
        return
    rows = (
        (
            f"{chip.identifier} (this machine)" if chip == here else chip.identifier,
            chip.name,
            chip.manufacturer.name,
            chip.year,
            ", ".join(f"{unit.cores or '?'} x {unit.name} ({unit.target})" for unit in chip.units),
        )
        for chip in all()
    )
    output.print(table(("chip", "name", "manufacturer", "year", "units (target)"), rows))


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

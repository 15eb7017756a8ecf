"""The files of shipped defaults: `anychip tune ops --defaults` and the hidden `anychip tune expect`.

Flows in: rows that were measured here, or a level whose machines are not at hand. Flows out: a file of the
package with ratios, or with tile sizes that the cost model chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import messages, progress, write_json
from ..options import AsJson
from .options import prepare

if TYPE_CHECKING:
    from ...tune.operators import Row

EACH = 20.0
"""Seconds for one set of tiles where nothing is measured."""


def add_ratios(file: Path, rows: Sequence[Row], cpu_time: bool) -> None:
    """Add what was measured to a file of shipped defaults, for the level of this machine."""
    from ...measurements import chip, defaults
    from ...tune.operators import ratios

    level = chip.level()
    known = defaults.read(file, level)
    merged = {overload: {t: dict(s) for t, s in types.items()} for overload, types in known.ratios.items()}
    for overload, types in ratios(rows).items():
        for name, sizes in types.items():
            found = {int(exponent): ratio for exponent, ratio in sizes.items()}
            merged.setdefault(overload, {}).setdefault(name, {}).update(found)
    clock = "processor time, one thread" if cpu_time else "wall time"
    machine = f"{chip.identify(1).model}; {clock}"
    defaults.save(file, replace(known, level=level, machine=machine, ratios=merged))
    messages.print(f"wrote {file}")


def expect(
    level: Annotated[str, typer.Argument(help="The level of instruction sets, such as aarch64.")],
    file: Annotated[Path, typer.Argument(help="The file of shipped defaults to write tiles into.")],
    names: Annotated[list[str] | None, typer.Argument(help="Operators or domains; all if none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose tile sizes for cores that are not at hand by the cost model, for the shipped defaults."""
    prepare(1)
    from ...measurements import defaults
    from ...tune import machine, modelled, tiles

    cores = modelled.cores()
    known = defaults.read(file, level)
    found = dict(known.tiles)
    workloads = [w for w in tiles.workloads(names or []) if w.name.split()[0] not in found]
    with progress(quiet=as_json) as display:
        bar = display.add_task("tiles", total=len(workloads))
        for workload in workloads:
            name = workload.name.split()[0]
            display.update(bar, advance=1, description=f"{name}; {len(found)} found so far")
            sizes = modelled.sizes(workload, cores, EACH)
            if sizes:
                found[name] = sizes
    told = f"cost model with published data of {', '.join(machine.SERVERS)}"
    defaults.save(file, replace(known, level=level, machine=told, source=defaults.MODEL, tiles=found))
    if as_json:
        write_json({"written": str(file), "level": level, "tiles": found})
        return
    messages.print(f"wrote {file}")

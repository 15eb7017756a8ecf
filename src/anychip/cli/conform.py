"""`anychip conform`: the operators' proofs on a chip that need not be here.

Flows in: a chip's or target's name. Flows out: a summary or JSON, and the chip's record under `evidence/`.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, output, progress, table, write_json
from .errors import CommandError, did_you_mean, require_known
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    import torch

ELSEWHERE = "its maker's own back end makes its code; `anychip test --record` on the chip shows it"
LEDGERS = Path("build/conformance")


def conform(
    chip: Annotated[list[str] | None, typer.Option(help="A chip, or a target; may be repeated.")] = None,
    package: Annotated[
        str, typer.Option(help="All chips of an installed package (entry point `anychip.chips`).")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write each chip's record and badge, and one page, into this folder."
        ),
    ] = None,
    ops: Annotated[list[str] | None, typer.Option(help="Only this operator; may be repeated.")] = None,
    domain: Annotated[
        str,
        typer.Option(help="Prove the fused operators of a room instead (llm, robot, ...); writes no record."),
    ] = "",
    dtype: Annotated[
        list[str] | None, typer.Option(help="Try this element type; may be repeated. [float32, float16]")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each overload.")] = 2,
    minutes: Annotated[
        float, typer.Option(help="Begin nothing after this time; the record says what was tried.")
    ] = math.inf,
    compile_only: Annotated[bool, typer.Option("--compile-only", help="Compile, and run nothing.")] = False,
    engine: Annotated[str, typer.Option(help="What runs WebAssembly: wasmtime or node.")] = "wasmtime",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run ended.")] = False,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Only what the chip's record does not show as passed."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write evidence/chips/<chip>.json (all operators).")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Prove the operators on a chip: natively, under its emulator, or by compiling them only.

    Their launches are recorded on this machine with PyTorch's results beside them, and replayed as the
    chip's own machine code. Exit status 1 if a result was wrong. A maker of chips runs it with --package
    and --out."""
    require_packages("conform")
    from .. import chips
    from ..conformance import campaign as campaigns
    from ..conformance import chip_record, completion
    from ..conformance.run import run
    from ..conformance.trials import DEFAULT, Sampling, chosen
    from ..emulation.cores import ENGINES

    brought = chips.of_package(package) if package else ()
    elsewhere = [name for name in brought if chips.get(name).plugin is not None]
    chip = [*(chip or ()), *(name for name in brought if name not in elsewhere)]
    for name in elsewhere:
        messages.print(f"{name}: {ELSEWHERE}")
    if not chip:
        raise CommandError("no chip is named.", "Write --chip CHIP, or --package PACKAGE for a maker's.")
    if engine not in ENGINES:
        raise CommandError(f"{engine!r} is no engine.", did_you_mean(engine, ENGINES))
    if domain:
        if out is not None:
            raise CommandError("--domain writes no record.", "Leave --out out, or --domain.")
        _conform_room(domain, chip, ops or (), _dtypes(dtype or ["float32"]), compile_only, engine, as_json)
        return
    sampling = Sampling(_dtypes(dtype) if dtype else DEFAULT.dtypes, samples)
    ledgers = {identifier: LEDGERS / f"{identifier}.json" for identifier in chip}
    running = []
    for identifier, ledger in ledgers.items():
        if not resume:
            ledger.unlink(missing_ok=True)
        running.append(campaigns.begin(identifier, ledger, compile_only=compile_only, engine=engine))
        if running[-1].reason:
            messages.print(f"{identifier}: {running[-1].reason}; kernels are compiled only")
    earlier = [completion.earlier_of(campaign) if missing else None for campaign in running]
    names = completion.missing(earlier) if missing and not ops else chosen(ops or ())
    done = set(names).intersection(*(campaign.done for campaign in running))
    with progress(quiet=as_json) as shown:
        task = shown.add_task(", ".join(chip), total=len(names), completed=len(done))
        run(running, names, ledgers, sampling, lambda _: shown.advance(task), 60 * minutes)
    made = [
        chip_record.record(campaign)
        if known is None
        else completion.completed(chip_record.record(campaign), known)
        for campaign, known in zip(running, earlier, strict=True)
    ]
    if out is not None:
        _publish(made, elsewhere, out)
    elif write and not ops:
        for record in made:
            messages.print(f"{record['chip']}: record in {chip_record.write(record)}")
            ledgers[record["chip"]].unlink(missing_ok=True)
    if as_json:
        write_json(made)
    else:
        _show(made)
    if any(record["cases"]["failed"] or record["kernels"]["errors"] for record in made):
        raise typer.Exit(1)


def _publish(records: list[dict[str, Any]], elsewhere: Sequence[str], folder: Path) -> None:
    """Write what a maker shows: records, badges and a page."""
    from ..conformance.certificate import badge, page

    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{record['chip']}.json").write_text(text, encoding="utf-8")
        (folder / f"{record['chip']}.svg").write_text(badge(record), encoding="utf-8")
    notes = [f"{name}: {ELSEWHERE}" for name in elsewhere]
    command = f"anychip {shlex.join(sys.argv[1:])}"
    (folder / "conformance.md").write_text(page(records, command, notes), encoding="utf-8")
    messages.print(f"wrote {folder / 'conformance.md'}, and a record and a badge for each chip")


def _conform_room(
    domain: str,
    chips: Sequence[str],
    names: Sequence[str],
    dtypes: Sequence[torch.dtype],
    compile_only: bool,
    engine: str,
    as_json: bool,
) -> None:
    """Prove a room's operators on chips. Exit status 1 if one failed."""
    from ..conformance import campaign as campaigns
    from ..conformance import rooms
    from ..ops.rooms import ROOMS

    require_known("--domain", domain, ROOMS)
    operators = rooms.chosen(ROOMS[domain], names)
    running = [campaigns.begin(one, compile_only=compile_only, engine=engine) for one in chips]
    for campaign in running:
        if campaign.reason:
            messages.print(f"{campaign.chip}: {campaign.reason}; kernels are compiled only")
    with progress(quiet=as_json) as shown:
        task = shown.add_task(", ".join(chips), total=len(operators))
        findings = list(rooms.prove(running, operators, dtypes, lambda _: shown.advance(task)))
    if as_json:
        write_json([asdict(finding) for finding in findings])
    else:
        columns = ("chip", "tier", "operator", "dtype", "verdict", ("samples", "right"), "what is wrong")
        tiers = {campaign.chip: campaign.tier for campaign in running}
        rows = [
            (f.chip, tiers[f.chip], f.operator, f.dtype, f.verdict, str(f.samples), f.reason)
            for f in findings
        ]
        output.print(table(columns, rows))
    if any(finding.verdict == "failed" for finding in findings):
        raise typer.Exit(1)


def _dtypes(names: Sequence[str]) -> tuple[torch.dtype, ...]:
    """The element types that were named. Raises CommandError."""
    from ..ops.registry import ALL

    known = {str(one).removeprefix("torch."): one for one in ALL}
    for name in names:
        if name not in known:
            raise CommandError(f"{name!r} is no element type.", did_you_mean(name, known))
    return tuple(known[name] for name in names)


def _show(records: list[dict[str, Any]]) -> None:
    columns = ("chip", "tier", "code that ran", "operators", "cases passed", "failed", "kernels", "emulator")
    output.print(table(columns, [_row(record) for record in records]))
    failures = [(record["chip"], failure) for record in records for failure in record["failures"]]
    if failures:
        rows = [(chip, f["operator"], f["dtype"], f["inputs"], f["reason"]) for chip, f in failures]
        output.print(table(("chip", "operator", "dtype", "inputs", "what is wrong"), rows))
    for record in records:
        if record["remark"]:
            output.print(f"{record['chip']}: {record['remark']}")


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    operators, cases, kernels = record["operators"], record["cases"], record["kernels"]
    return (
        record["chip"],
        record["tier"],
        record["code_that_ran"],
        f"{operators['passed']}/{operators['tried']}/{operators['total']}",
        cases["passed"],
        cases["failed"],
        f"{kernels['compiled']}/{kernels['tried']}",
        record["emulator"],
    )


VERBS = {"conform": conform}

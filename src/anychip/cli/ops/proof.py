"""`anychip test`: the proof of operators on the machine at hand.

Flows in: names of operators, overloads or entries of PyTorch's database, or "--all". Flows out: a table
of outcomes, JSON, and with "--record" the record of this chip.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import messages, output, progress, table, write_json
from ..errors import INTERRUPTED, CommandError, did_you_mean, require_known
from ..needs import require_packages
from ..options import AsJson
from . import fused

if TYPE_CHECKING:
    from ...evidence.outcome import Proof

SAMPLES = 8
COLUMNS = (
    "subject",
    "dtype",
    "verdict",
    ("passed", "right"),
    ("failed", "right"),
    ("not served", "right"),
    "overloads of ours that ran",
)
LEDGER = Path("build/evidence")


def prove(
    operators: Annotated[
        list[str] | None,
        typer.Argument(help="Operators, ATen overloads, or entries of PyTorch's database of samples."),
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="Try only this element type; may be repeated.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each kind.")] = SAMPLES,
    all_samples: Annotated[bool, typer.Option("--all-samples", help="Try every sample.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every operator and entry.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Begin no trial of a subject and type after this processor time."),
    ] = None,
    domain: Annotated[
        str,
        typer.Option(
            help="Prove the fused operators of a room instead (llm, robot, ...), all where none is named."
        ),
    ] = "",
    llm: Annotated[bool, typer.Option("--llm", help="Short for --domain llm.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    record: Annotated[
        bool,
        typer.Option("--record", help="With --all or --domain: write this chip's record into evidence/."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --all: go on where an interrupted run ended, or try more; what failed is tried again. "
            "With --domain: only what the record does not show as passed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove operators by PyTorch's own samples on this machine, under the strict policy.

    Each result is compared with PyTorch's, in the same type and in float64, and our kernels must have
    been launched. Exit status 1 if a trial failed.
    """
    require_packages("test")
    from ...evidence import outcome, processes
    from ...evidence import record as records
    from ...ops.rooms import ROOMS

    if domain or llm:
        require_known("--domain", domain or "llm", ROOMS)
        fused.prove(ROOMS[domain or "llm"], operators or [], all_samples, record, resume, as_json)
        return
    limit = None if all_samples else samples
    wanted = processes.tasks(_subjects(operators or [], everything), _dtypes(dtype or []))
    if not wanted:
        raise CommandError("none of the operators has samples in these element types.")
    if (record or resume) and not everything:
        raise CommandError("--record and --resume are for the whole library.", "Add --all.")
    terms = {"versions": records.versions()}
    sources = records.commit()
    proof_file = None
    proofs: list[outcome.Proof] = []
    if everything:
        file = LEDGER / f"{records.chip_identifier()}.jsonl"
        if not resume:
            file.unlink(missing_ok=True)
        proof_file = processes.ProofFile(file, terms)
        done = {task for task, proof in proof_file.proofs.items() if proof.covers(limit, seconds)}
        proofs = [proof_file.proofs[task] for task in wanted if task in done]
        wanted = [task for task in wanted if task not in done]
    total, interrupted = len(wanted) + len(proofs), False
    with progress(quiet=as_json) as display:
        bar = display.add_task("operators", total=total, completed=len(proofs))
        try:
            for proof in processes.run(wanted, limit=limit, jobs=jobs, budget=seconds):
                proof.commit = sources
                proofs.append(proof)
                if proof_file is not None:
                    proof_file.add(proof)
                display.update(bar, advance=1, description=f"{proof.subject} {proof.dtype}")
        except KeyboardInterrupt:
            interrupted = True
    if record and not interrupted and proof_file is not None:
        known = set(processes.tasks(_subjects([], everything)))
        kept = [proof for task, proof in proof_file.proofs.items() if task in known]
        written = records.write(records.compose(kept))
        messages.print(f"wrote {written}")
        if len(kept) == len(known) and all(proof.covers(limit, seconds) for proof in kept):
            proof_file.file.unlink()
    if as_json:
        write_json([proof.to_json() | {"verdict": proof.verdict} for proof in proofs])
    else:
        _print(proofs, brief=everything)
    if interrupted:
        again = "; --all --resume goes on from here" if proof_file is not None else ""
        messages.print(f"anychip: interrupted after {len(proofs)} of {total} proofs{again}")
        raise typer.Exit(INTERRUPTED)
    if any(proof.verdict == "failed" for proof in proofs):
        raise typer.Exit(1)


def _dtypes(names: list[str]) -> list[str]:
    from ...evidence.opinfo import DTYPES

    known = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
    for name in names:
        if name not in known:
            raise CommandError(
                f"there is no element type {name!r} among those tried.", did_you_mean(name, known)
            )
    return names


def _subjects(names: list[str], everything: bool) -> list[str]:
    """The subjects that the names stand for: an operator's record and every entry about it, an overload's
    likewise, or one entry."""
    from ...evidence import opinfo, proof, record
    from ...ops.registry import operators, overloads

    if everything:
        if names:
            raise CommandError("--all takes no names.")
        return proof.subjects()
    if not names:
        raise CommandError("name an operator, or use --all.", "`anychip ops` lists the operators.")
    found: list[str] = []
    for name in names:
        bases = set()
        if name in operators():
            bases = {record.base(overload.name) for overload in operators()[name].overloads} | {name}
            found.append(proof.RECORD + name)
        elif name in overloads():
            bases = {record.base(name)}
            found.append(proof.RECORD + overloads()[name][0].name)
        elif name in opinfo.entries():
            found.append(name)
        else:
            known = {*operators(), *overloads(), *opinfo.entries()}
            raise CommandError(f"there is no operator {name!r}.", did_you_mean(name, known))
        found += [entry for entry in opinfo.entries() if bases & opinfo.names_of(entry)]
    return list(dict.fromkeys(found))


def _print(proofs: list[Proof], brief: bool) -> None:
    shown = [proof for proof in proofs if not brief or proof.verdict == "failed"]
    rows = [(proof.subject, proof.dtype, proof.verdict, *_counts(proof)) for proof in shown]
    columns = (
        "subject",
        "dtype",
        "verdict",
        ("passed", "right"),
        ("failed", "right"),
        ("not served", "right"),
    )
    if rows:
        output.print(table((*columns, "overloads of ours that ran"), rows))
    for proof in shown:
        for failure in proof.failures:
            output.print(
                f"{proof.subject} {proof.dtype} {failure.kind}: {failure.reason}\n    {failure.inputs}",
                markup=False,
                highlight=False,
            )
        if proof.died:
            output.print(f"{proof.subject} {proof.dtype}: {proof.died}", markup=False)
        if not brief:
            for reason, number in proof.unserved.items():
                output.print(f"{proof.subject} {proof.dtype} not served x{number}: {reason}", markup=False)
    totals: dict[str, int] = {}
    for proof in proofs:
        totals[proof.verdict] = totals.get(proof.verdict, 0) + 1
    trials = {word: sum(proof.total(word) for proof in proofs) for word in ("passed", "failed", "unserved")}
    output.print(
        f"{len(proofs)} proofs: "
        + ", ".join(f"{number} {word}" for word, number in sorted(totals.items()))
        + f"; {trials['passed']} trials passed, {trials['failed']} failed, {trials['unserved']} not served."
    )


def _counts(proof: Proof) -> tuple[Any, ...]:
    ran = ", ".join(sorted(proof.overloads))
    return (
        proof.total("passed"),
        proof.total("failed"),
        proof.total("unserved"),
        ran if len(ran) < 90 else ran[:87] + "...",
    )

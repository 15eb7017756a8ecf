"""`anychip bench serve`: rates of a served language model beside peers, each in a process of its own.

Flows in: a model, peers, how many rounds. Flows out: a table or JSON, and a record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import output, progress, table, write_json
from ..needs import require_packages
from ..options import AsJson
from .options import Threads, command


def serve(
    model: Annotated[Path, typer.Argument(help="A GGUF file, or a folder of safetensors.", exists=True)],
    peers: Annotated[
        list[str] | None, typer.Option("--peer", help="Also llama.cpp or transformers (repeatable).")
    ] = None,
    threads: Threads = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that are kept, after one that warms up.")] = 5,
    kinds: Annotated[
        list[str] | None, typer.Option("--only", help="decode, prompt or streams (repeatable).")
    ] = None,
    start: Annotated[
        bool, typer.Option("--start", help="Also time from a process's start to the first token.")
    ] = False,
    record: Annotated[Path | None, typer.Option(help="Put the run into this file.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Measure decoding, reading a prompt and 16 answers at once, in turns with peers on the same model."""
    require_packages("bench")
    import torch

    from ...bench.report import circumstances
    from ...bench.serving import rates
    from ...bench.serving import record as records
    from ...evidence.record import commit

    sources = commit()
    torch.set_num_threads(threads or torch.get_num_threads())
    with progress(quiet=as_json) as display:
        task = display.add_task("", total=None)
        made = rates.measure(
            model.resolve(),
            peers or [],
            torch.get_num_threads(),
            rounds,
            rates.chosen(kinds),
            start,
            lambda what: display.update(task, description=what),
        )
    run = records.Run(made, circumstances(command()), sources)
    if record is not None:
        records.add(record, run)
    if as_json:
        write_json(records.to_data(run))
        return
    heads = records.HEADS
    output.print(table([*heads[:2], *((head, "right") for head in heads[2:])], records.rows(made)))
    for remark in records.remarks(made):
        output.print(remark)

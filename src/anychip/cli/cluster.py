"""`anychip cluster plan`: who does what in a job on several chips. Flows in: a model of the user's and a
file of ranks. Flows out: stages or shards, memory, bytes and seconds, with how each number is known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import messages, output, table, write_json
from .errors import CommandError, require_known
from .files import function_of
from .needs import require_packages
from .options import AsJson

application = typer.Typer(help="Training on several chips, of one kind or mixed.", no_args_is_help=True)
KINDS = ("shards", "stages")
JOB = "cluster_job"


@application.command()
def plan(
    script: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT",
            help="A training script, which is run to its first backward pass; or FILE.py:NAME, a function "
            "that returns (model, loss_of, samples): loss_of(model) is the loss of so many samples. A script "
            "that has a function `cluster_job` is asked by that.",
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]...", help="The script's own arguments.")
    ] = None,
    *,
    ranks: Annotated[Path, typer.Option(help="The ranks' chips and the network (TOML).")],
    cut: Annotated[str, typer.Option(help="shards of the batch, or stages of the model.")] = "shards",
    batch: Annotated[int, typer.Option(help="Samples of a step, over all ranks; 0: the profiled ones.")] = 0,
    micro_batches: Annotated[int, typer.Option(help="Parts of the batch in a pipeline.")] = 4,
    rounds: Annotated[int, typer.Option(help="Steps that are timed; the quickest counts.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what each rank does and how long a step is expected to take: measured on this machine for ranks
    of it, by the cost model from there for other chips."""
    require_packages("cluster")
    require_known("--cut", cut, KINDS)
    if rounds < 1 or micro_batches < 1 or batch < 0:
        raise CommandError("--rounds and --micro-batches are at least 1.", "A batch is above 0.")
    import os

    import torch

    from ..cluster import network, plan, profile, speeds
    from ..cluster import ranks as of_file

    wanted, between = of_file.read(ranks)
    model, loss_of, samples = _job(script, arguments or [])
    cores = os.cpu_count() or 1
    threads = {rank.threads for rank in wanted if rank.chip is None} or {1}
    profiles, roofs = {}, {}
    before = torch.get_num_threads()
    for number in sorted(threads):
        messages.print(f"measuring the model with {number} thread{'s' if number > 1 else ''}")
        torch.set_num_threads(number)
        profiles[number] = profile.profile(model, loss_of, samples, rounds)
        if any(rank.chip for rank in wanted):
            roofs[number] = speeds.measured_roof(number)
    torch.set_num_threads(before)
    if between is None:
        messages.print("measuring messages between two processes")
        between = network.measured()
    costs = plan.Costs(profiles, wanted, roofs, cores)
    if cut == "shards":
        found = plan.shards(costs, between, batch or samples)
    else:
        found = plan.stages(costs, between, batch or samples * micro_batches, micro_batches)
    if as_json:
        rows = [asdict(each) | {"layers": [each.layers.start, each.layers.stop]} for each in found.work]
        told: dict[str, Any] = {
            "cut": found.kind,
            "ranks": rows,
            "step_seconds": found.seconds,
            "equal_step_seconds": found.equal,
            "communication_seconds": found.communication,
            "known": found.known,
            "network": asdict(between),
            "parts": {str(number): profile.as_rows(each) for number, each in profiles.items()},
        }
        write_json(told)
        return
    heads = ("rank", "chip", "layers", "samples", "memory", "sent", "computing", "known")
    output.print(
        table(
            [heads[0], heads[1], *((head, "right") for head in heads[2:7]), heads[7]],
            [
                (
                    each.rank,
                    each.chip,
                    f"{each.layers.start}-{each.layers.stop - 1}",
                    each.samples,
                    f"{each.memory / 2**20:.1f} MiB",
                    f"{each.sent / 2**20:.2f} MiB",
                    f"{each.seconds * 1e3:.1f} ms",
                    each.known,
                )
                for each in found.work
            ],
        )
    )
    output.print(
        f"a step: {found.seconds * 1e3:.1f} ms ({found.known}), {found.communication * 1e3:.1f} ms of it the "
        f"network ({'measured' if between.is_measured else 'as the file says'}); with equal parts "
        f"{found.equal * 1e3:.1f} ms"
    )


def _job(script: str, arguments: list[str]) -> Any:
    """What the function that is named gives, or what the script trains."""
    path, separator, _ = script.rpartition(":")
    if not (separator and path.endswith(".py")):
        from ..cluster.script import has_function, job_of

        if not Path(script).is_file():
            raise CommandError(f"there is no script {script}.")
        if not has_function(Path(script), JOB):
            messages.print("running the script to its first backward pass")
            return job_of(Path(script), arguments)
        script = f"{script}:{JOB}"
    made = function_of(script)()
    if not isinstance(made, tuple) or len(made) != 3:
        raise CommandError(f"{script} returns a {type(made).__name__}.", "Return (model, loss_of, samples).")
    return made


VERBS = {"cluster": application}

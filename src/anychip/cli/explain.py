"""`anychip explain`: what became of a kernel, stage by stage and access by access.

Flows in: `FILE.py:kernel` or an operator's name, a target, types and constants. Flows out: the text
of one stage, or a table with the verdict on every memory access, tied to the kernel's source lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..inspect.gpu import GPU_STAGES, gpu_stages
from ..inspect.kernels import InspectedKernel, in_file, of_operator
from .console import messages, output, table, write_json
from .errors import CommandError, did_you_mean
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..compiler.foreign.records import StockTarget
    from ..compiler.pipeline import Access, Explanation
    from ..compiler.targets import Target

CPU_STAGES = ("ttir", "tile", "nests", "llvm", "asm")


def explain(
    kernel: Annotated[str, typer.Argument(metavar="FILE.py:KERNEL | OPERATOR", help="What to explain.")],
    stage: Annotated[
        str,
        typer.Option(help=f"Print this stage: {', '.join(CPU_STAGES)}; on a GPU {', '.join(GPU_STAGES)}."),
    ] = "",
    target: Annotated[
        str,
        typer.Option(help="host, a core (cortex-a76), a GPU (sm_90, gfx942) or a chip (`anychip chips`)."),
    ] = "host",
    sig: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TYPE", help="Type of a parameter: x_ptr=*fp16, n=i32:16."),
    ] = None,
    const: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Value of a tl.constexpr parameter.")
    ] = None,
    diff: Annotated[
        str,
        typer.Option(
            metavar="TARGET | FILE.py:KERNEL", help="What differs there, of a stage or of verdicts."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what became of a kernel: one stage's text, or the verdict on every memory access."""
    from ..compiler.foreign.records import StockTarget
    from ..compiler.foreign.routes import resolve

    chosen = resolve(target)
    known = GPU_STAGES if isinstance(chosen, StockTarget) else CPU_STAGES
    if stage and stage not in known:
        raise CommandError(
            f"--stage {stage}: the stages for {target} are {', '.join(known)}.", did_you_mean(stage, known)
        )
    if diff:
        _show_difference(kernel, diff, stage, target, sig or [], const or [], as_json)
    elif stage:
        found = _kernels(kernel, sig or [], const or [])
        _show_stages([(each, _stage_text(each, stage, chosen)) for each in found], stage, target, as_json)
    elif isinstance(chosen, StockTarget):
        raise CommandError(
            f"verdicts on accesses are made for CPUs; {target} is compiled by stock Triton.",
            f"Choose a stage to print: --stage {' | '.join(GPU_STAGES)}",
        )
    else:
        found = _kernels(kernel, sig or [], const or [])
        _show_accesses([(each, _explained(each, chosen).accesses) for each in found], target, as_json)


def _show_difference(
    kernel: str, other: str, stage: str, target: str, sig: Sequence[str], const: Sequence[str], as_json: bool
) -> None:
    """Print the difference between two kernels, or one kernel on two targets, as `diff -u` does."""
    is_kernel = ".py:" in other
    sides = [(kernel, target), (other, target) if is_kernel else (kernel, other)]
    texts = [_side(name, where, stage, sig, const) for name, where in sides]
    names = [name if is_kernel else where for name, where in sides]
    lines = list(difflib.unified_diff(texts[0], texts[1], names[0], names[1], lineterm=""))
    if as_json:
        write_json({"before": names[0], "after": names[1], "stage": stage or "accesses", "diff": lines})
    elif lines:
        for line in lines:
            output.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        messages.print(f"{names[0]} and {names[1]}: no difference in {stage or 'the verdicts on accesses'}")


def _side(kernel: str, target: str, stage: str, sig: Sequence[str], const: Sequence[str]) -> list[str]:
    """One side of a difference: lines of a stage, or a line for each access."""
    from ..compiler.foreign.records import StockTarget
    from ..compiler.foreign.routes import resolve

    chosen = resolve(target)
    found = _kernels(kernel, sig, const)
    if stage:
        return [line for each in found for line in _stage_text(each, stage, chosen).splitlines()]
    if isinstance(chosen, StockTarget):
        raise CommandError(f"verdicts on accesses are made for CPUs, not {target}.", "Choose a --stage.")
    return [
        " ".join(str(value) for value in asdict(access).values())
        for each in found
        for access in _explained(each, chosen).accesses
    ]


def _explained(inspected: InspectedKernel, target: Target) -> Explanation:
    from ..compiler import pipeline

    return pipeline.explain(inspected.ttir, target)


def _stage_text(inspected: InspectedKernel, stage: str, target: Target | StockTarget) -> str:
    from ..compiler.targets import Target

    if stage == "ttir":
        return inspected.ttir
    if isinstance(target, Target):
        return _explained(inspected, target).stages[stage]
    with messages.status(f"compiling {inspected.name} for {target.name}"):
        stages = gpu_stages(inspected, target)
    if stage not in stages:
        raise CommandError(f"{target.name} has no stage {stage!r}.", f"It has: {', '.join(stages)}.")
    return stages[stage]


def _kernels(kernel: str, sig: Sequence[str], const: Sequence[str]) -> list[InspectedKernel]:
    file, colon, name = kernel.rpartition(":")
    if colon:
        return [in_file(Path(file), name, sig, const)]
    if kernel.endswith(".py"):
        raise CommandError(f"{kernel} is a file; name a kernel in it.", _kernels_hint(Path(kernel)))
    if sig or const:
        raise CommandError(
            f"--sig and --const are for kernels in files; operator {kernel} is explained as it is launched."
        )
    require_packages("explain OPERATOR")
    return of_operator(kernel)


def _kernels_hint(file: Path) -> str:
    """Which kernels the file has, as arguments of this verb. Raises CommandError if it cannot be read."""
    from ..inspect.kernel_file import kernels_in

    names = [f"{file}:{name}" for name in kernels_in(file)]
    return f"It has: {', '.join(names)}." if names else "It has none: no function under @triton.jit."


def _show_stages(
    texts: Sequence[tuple[InspectedKernel, str]], stage: str, target: str, as_json: bool
) -> None:
    if as_json:
        write_json(
            [{**_heading(inspected, target), "stage": stage, "text": text} for inspected, text in texts]
        )
        return
    for inspected, text in texts:
        _say_assumed(inspected)
        if len(texts) > 1:
            messages.print(f"kernel {inspected.name}", style="bold", markup=False)
        typer.echo(text)


def _show_accesses(
    verdicts: Sequence[tuple[InspectedKernel, Sequence[Access]]], target: str, as_json: bool
) -> None:
    if as_json:
        write_json(
            [
                {
                    **_heading(inspected, target),
                    "accesses": [{**asdict(access), "location": str(access.location)} for access in accesses],
                }
                for inspected, accesses in verdicts
            ]
        )
        return
    for inspected, accesses in verdicts:
        _say_assumed(inspected)
        rows = [
            (
                _place(access),
                access.kind,
                f"{'x'.join(str(size) for size in access.shape) or 'scalar'} {access.element}",
                access.verdict,
                access.mask,
            )
            for access in accesses
        ]
        output.print(
            table(("line", "access", "tile", "address", "mask"), rows, title=f"{inspected.name} on {target}")
        )


def _place(access: Access) -> str:
    location = access.location
    return f"{Path(location.file).name}:{location.line}" if location.line else str(location)


def _heading(inspected: InspectedKernel, target: str) -> dict[str, Any]:
    return {
        "kernel": inspected.name,
        "target": target,
        "signature": inspected.signature,
        "assumed": list(inspected.assumed),
    }


def _say_assumed(inspected: InspectedKernel) -> None:
    if inspected.assumed:
        guesses = ", ".join(f"{name}={inspected.signature[name]}" for name in inspected.assumed)
        messages.print(f"assumed {guesses} (--sig and --const say otherwise)", style="dim", markup=False)


VERBS = {"explain": explain}

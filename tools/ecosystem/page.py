"""The page of other people's Triton, from the records of runs. In: the records of `evidence/ecosystem/`. Out:
Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anychip.markdown import table

from .autotuning_page import section as tuned
from .models_page import section as models
from .start_page import section as starts
from .suites import SUITES

MEASURED = {"models": models, "start": starts, "autotuning": tuned}
"""Name of a record of measurements -> its section."""

COLUMNS = ("passed", "xpassed", "failed", "xfailed", "skipped", "left out")

INTRODUCTION = (
    "# Other people's Triton",
    "Written by `python -m tools.ecosystem page` from `evidence/ecosystem/`; do not edit. Libraries and "
    "compilers that generate Triton run on a CPU as they are: with Anychip installed, Triton has a CPU.",
    '- PyTorch models: `torch.compile(model, backend="anychip")`, or plain Inductor with '
    '`torch._inductor.config.cpu_backend = "triton"`.\n'
    "- Libraries of kernels: give them tensors on the CPU.\n"
    "- `triton.autotune`: configurations that differ only in a GPU's options (warps, stages, registers, ...) "
    "count as one; of those that differ, the likeliest two are compiled and timed. "
    "`ANYCHIP_AUTOTUNE_TRIALS=N` tries N, `all` tries all.",
    "The suites below are the projects' own tests, run from their sources by "
    "`python -m tools.ecosystem SUITE TREE`.",
)

LEGEND = (
    "`xpassed` are cases that the suite itself expects to fail on this kind of back end and that passed; "
    "they count as passed. `xfailed` fail as the suite expects on every device. `left out` are cases "
    "that cannot run on a CPU, each with its reason below. These two, and `skipped`, which the suite itself "
    "leaves out, are not counted."
)


def share(outcomes: dict[str, int]) -> tuple[int, int]:
    """Cases that passed, and cases that count."""
    passed = outcomes.get("passed", 0) + outcomes.get("xpassed", 0)
    return passed, passed + outcomes.get("failed", 0)


def extent(record: dict[str, Any]) -> str:
    """Which of the suite's cases were run."""
    ran = sum(record["outcomes"].values())
    every, large = record["every"], record.get("large_every", record["every"])
    if every == large == 1 and not record["only"]:
        return f"all {ran} cases"
    what = f"one case in {every}" if every > 1 else "all cases" if large > 1 else "cases"
    which = f" of `{record['only']}`" if record["only"] else ""
    of_large = f" (one in {large} of those with the largest tensors)" if large != every else ""
    return f"{what}{which}{of_large}: {ran} of {record['collected']}"


def section(record: dict[str, Any]) -> str:
    """What one run came to."""
    suite = SUITES[record["suite"]]
    passed, counted = share(record["outcomes"])
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    parts = [
        f"## {suite.title}",
        f"**{100 * passed / max(1, counted):.1f} %** ({passed} of {counted}) pass; {extent(record)}. "
        f"Promised: {100 * suite.goal:.0f} %.",
        *([f"Source: {record['source']}."] if record["source"] else []),
        f"{versions}; {record['date']}. A case may take {record['seconds_for_a_case']:g} s.",
        table(
            ["file", *COLUMNS],
            [
                [f"`{file}`", *(str(counts.get(column, 0)) for column in COLUMNS)]
                for file, counts in [*record["files"].items(), ("all", record["outcomes"])]
            ],
        ),
    ]
    titles = {"failed": "fails", "xfailed": "is expected to fail", "left out": "is left out"}
    for outcome, title in titles.items():
        if record["reasons"].get(outcome):
            rows = [[reason, f"`{name}`", str(n)] for reason, name, n in record["reasons"][outcome]]
            parts += [f"### What {title}", table(["reason", "test", "cases"], rows)]
    if suite.without[1]:
        parts.append(f"Not asked: cases that {suite.without[1]} (`{suite.without[0]}`).")
    if record["reasons"].get("skipped"):
        rows = [[reason, str(n)] for reason, _, n in record["reasons"]["skipped"]]
        parts += ["### What the suite skips", table(["reason", "cases"], rows)]
    return "\n\n".join(parts)


def page(kept: Mapping[str, dict[str, Any]]) -> str:
    """The page in Markdown, of the records of suites and of measurements by name."""
    records = [kept[name] for name in SUITES if name in kept]
    rows = [
        [
            SUITES[record["suite"]].title,
            "{} of {}".format(*share(record["outcomes"])),
            extent(record),
            record["date"],
        ]
        for record in records
    ]
    overview = table(["suite", "pass", "run", "date"], rows)
    return (
        "\n\n".join(
            [
                *INTRODUCTION,
                overview,
                LEGEND,
                *(measured(kept[name]) for name, measured in MEASURED.items() if name in kept),
                *map(section, records),
            ]
        )
        + "\n"
    )

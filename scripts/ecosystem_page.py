"""The page of other people's Triton, from the records of runs. In: the records of `evidence/ecosystem/`. Out:
Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ecosystem_suites import SUITES

COLUMNS = ("passed", "xpassed", "failed", "xfailed", "skipped", "left out")

INTRODUCTION = (
    "# Other people's Triton",
    "Written by `python scripts/ecosystem.py page` from `evidence/ecosystem/`; do not edit. Libraries and "
    "compilers that generate Triton run on a CPU as they are: with Anychip installed, Triton has a CPU.",
    '- PyTorch models: `torch.compile(model, backend="anychip")`, or plain Inductor with '
    '`torch._inductor.config.cpu_backend = "triton"`.\n'
    "- Libraries of kernels: give them tensors on the CPU.\n"
    "- `triton.autotune`: configurations that differ only in a GPU's options (warps, stages, registers, ...) "
    "count as one; of those that differ, the likeliest two are compiled and timed. "
    "`ANYCHIP_AUTOTUNE_TRIALS=N` tries N, `all` tries all.",
    "The suites below are the projects' own tests, run from their sources by "
    "`python scripts/ecosystem.py SUITE TREE`.",
)

LEGEND = (
    "`xpassed` are cases that the suite itself expects to fail on this kind of back end and that passed; "
    "they count as passed. `xfailed` fail as the suite expects on every device. `left out` are cases "
    "that a CPU cannot be asked, each with its reason below. These two and `skipped`, which the suite left "
    "out by itself, are not counted."
)


def share(outcomes: dict[str, int]) -> tuple[int, int]:
    """Cases that passed, and cases that count."""
    passed = outcomes.get("passed", 0) + outcomes.get("xpassed", 0)
    return passed, passed + outcomes.get("failed", 0)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([c.replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def extent(record: dict[str, Any]) -> str:
    """Which of the suite's cases were run."""
    ran = sum(record["outcomes"].values())
    if record["every"] == 1 and not record["only"]:
        return f"all {ran} cases"
    what = f"one case in {record['every']}" if record["every"] > 1 else "cases"
    which = f" of `{record['only']}`" if record["only"] else ""
    return f"{what}{which}: {ran} of {record['collected']}"


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
    if record["reasons"].get("skipped"):
        rows = [[reason, str(n)] for reason, _, n in record["reasons"]["skipped"]]
        parts += ["### What the suite skips", table(["reason", "cases"], rows)]
    return "\n\n".join(parts)


def models(record: dict[str, Any]) -> str:
    """The section of compiled models."""
    modes = {"infer": "inference", "train": "forward and backward"}
    rows = []
    ratios: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(record["rows"], key=lambda row: row["mode"]):
        ours, eager, native = (row["milliseconds"][way] for way in ("anychip", "eager", "inductor"))
        ratios.setdefault(row["mode"], []).append((eager / ours, native / ours))
        rows.append(
            [
                row["model"], modes[row["mode"]], f"{eager:.2f}", f"{native:.2f}", f"{ours:.2f}",
                f"{eager / ours:.2f}", f"{native / ours:.2f}",
            ]
        )  # fmt: skip
    means = [
        f"{modes[mode]}: **{statistics.geometric_mean(e for e, _ in pairs):.2f}** times as fast as eager, "
        f"**{statistics.geometric_mean(n for _, n in pairs):.2f}** times as fast as Inductor's C++ "
        f"({len(pairs)} models)"
        for mode, pairs in ratios.items()
    ]
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    heads = ["model", "what", "eager (ms)", "Inductor C++ (ms)", "ours (ms)", "to eager", "to Inductor C++"]
    return "\n\n".join(
        [
            "## Compiled models",
            'Small forms of models of `transformers`, compiled with `backend="anychip"`, by '
            "`python scripts/ecosystem_models.py`. " + "; ".join(means) + " (geometric means).",
            "Least processor time of the calling thread, one thread, the three in turn; 32 tokens, "
            f"hidden size 64, two layers. {record['machine']}; {versions}; {record['date']}.",
            table(heads, rows),
            "Graphs of static shapes that hold nothing but our launches are replayed as a list of launches "
            "from their third call; attention, and matrix products, are the operator library's.",
        ]
    )


def page(records: Sequence[dict[str, Any]], compiled: dict[str, Any] | None = None) -> str:
    """The page in Markdown, of suites and of compiled models."""
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
                *([models(compiled)] if compiled else []),
                *map(section, records),
            ]
        )
        + "\n"
    )

"""The section of the page of other people's Triton that says how long a process takes until its first result.
In: the record of `start.py`. Out: Markdown."""

from __future__ import annotations

import statistics
from typing import Any

from anychip.markdown import table

PIPELINED = ("anychip", "inductor")
"""The two back ends of `torch.compile` that are compared."""

OTHERS = {
    "enable": "eager PyTorch, from the call of `anychip.enable()` on",
    "load": "a graph made by `aot_compile` (cold), loaded by `torch.compiler.load_compiled_function` (warm)",
}


def least(row: dict[str, Any], what: str) -> float:
    """The least of a row's runs."""
    return min(run[what] for run in row["runs"])


def rounds(record: dict[str, Any]) -> str:
    """How many rounds there were: one number, or the fewest and the most."""
    counts = sorted({len(row["runs"]) for row in record["rows"]})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def tracing(row: dict[str, Any]) -> str:
    """Processor time of the quickest run outside back end and graphs: PyTorch's tracing and guards."""
    run = min(row["runs"], key=lambda run: run["processor"])
    return f"{run['processor'] - sum(run['parts'].values()):.2f}" if run["parts"] else ""


def section(record: dict[str, Any]) -> str:
    """The section of first results."""
    kept = {(row["model"], row["way"], row["state"]): row for row in record["rows"]}
    rows, other = [], []
    ratios: dict[str, list[float]] = {"cold": [], "warm": []}
    for model, way, state in kept:
        if way in OTHERS:
            row = kept[model, way, state]
            figures = (f"{least(row, what):.2f}" for what in ("processor", "seconds"))
            other.append([model, OTHERS[way], state, *figures])
        if way != PIPELINED[0] or (model, PIPELINED[1], state) not in kept:
            continue
        ours, theirs = (kept[model, name, state] for name in PIPELINED)
        ratios[state].append(least(ours, "processor") / least(theirs, "processor"))
        rows.append(
            [
                model,
                state,
                f"{least(ours, 'processor'):.2f}",
                f"{least(theirs, 'processor'):.2f}",
                f"{ratios[state][-1]:.2f}",
                tracing(ours),
                f"{least(ours, 'seconds'):.1f}",
                f"{least(theirs, 'seconds'):.1f}",
            ]
        )
    means = ", ".join(
        f"{state} **{statistics.geometric_mean(values):.2f}**" for state, values in ratios.items() if values
    )
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    heads = [
        "model",
        "caches",
        "ours (s)",
        "Inductor C++ (s)",
        "ratio",
        "of ours: PyTorch's tracing (s)",
        "ours, by the clock (s)",
        "Inductor C++, by the clock (s)",
    ]
    return "\n\n".join(
        [
            "## Time to the first result",
            f"Our share of what Inductor's C++ takes, which needs a C++ compiler: {means} (geometric means, "
            "processor time).",
            "A process for every figure, by `python -m tools.ecosystem.start`: from the call of what "
            "`torch.compile` gave to its result; imports are not counted. Cold: empty caches; warm: a second "
            "process with the caches of the first. Processor time of the process and of the compilers that "
            f"it called, one thread, the ways in turn, the least of {rounds(record)} rounds. The machine was "
            "busy: read the columns of the clock against each other only. "
            f"{record['machine']}; {versions}; {record['date']}.",
            table(heads, rows),
            "PyTorch traces a model anew in every process; no back end is asked before that is done. There "
            "is a way without tracing, whose price is that nobody checks that a graph is called with the "
            "shapes for which it was compiled:",
            "```python\n"
            "compiled = torch.compile(\n"
            '    model, backend="anychip", fullgraph=True,\n'
            '    options={"guard_filter_fn": torch.compiler.skip_all_guards_unsafe},\n'
            ")\n"
            'compiled.forward.aot_compile(((words,), {})).save_compiled_function("model.bin")\n'
            "# in another process\n"
            "import anychip.pytorch.compilation  # the operators that the graph names\n"
            'with open("model.bin", "rb") as file:\n'
            "    run = torch.compiler.load_compiled_function(file)\n"
            "result = run(model, words)\n"
            "```",
            table(["model", "way", "caches", "processor time (s)", "by the clock (s)"], other),
        ]
    )

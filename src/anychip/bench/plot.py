"""A chart of ratios, one bar for each row, as PNG, SVG or PDF. Needs matplotlib.

Flows in: rows and a path. Flows out: a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..packages import require
from .errors import BenchmarkError
from .row import EAGER, Row


def plot(rows: Sequence[Row], path: Path) -> None:
    """Write the chart to `path`, in the format that its suffix names.

    Raises `MissingPackage` without Matplotlib, `BenchmarkError` when it does not know the format.
    """
    require("a plot", ["matplotlib"])
    from matplotlib.figure import Figure

    shown = [row for row in rows if EAGER in row.ratios]
    figure = Figure(figsize=(8, max(2.0, 0.22 * len(shown) + 1)), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row.name} {row.dtype} {'x'.join(map(str, row.sizes))}" for row in shown]
    spreads = [row.ratios[EAGER] for row in shown]
    values = [s.median for s in spreads]
    errors = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    colours = ["tab:blue" if value >= 1 else "tab:orange" for value in values]
    axes.barh(labels, values, xerr=errors, color=colours, log=True)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("time of PyTorch eager / ours (median and quartiles)")
    axes.invert_yaxis()
    try:
        figure.savefig(path)
    except ValueError as error:
        raise BenchmarkError(f"cannot write {path}: {error}") from error

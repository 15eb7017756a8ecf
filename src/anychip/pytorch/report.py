"""What ran since the start, or since the last reset: operators with calls, time and kernels, what fell
through to PyTorch, and what the policy "auto" chose. The dispatcher's statistics and the choices in force
flow in, a printable report flows out."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch

from ..ops.registry import absent
from . import graphs, statistics
from .automatic.registration import AutomaticRegistrations
from .policy import registrations
from .report_page import fragment


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One overload that portable kernels served; `kernels` pairs a kernel's name with its launches."""

    operator: str
    overload: str
    calls: int
    milliseconds: float
    kernels: tuple[tuple[str, int], ...]

    @property
    def kernels_text(self) -> str:
        """The kernels and their launches in words."""
        return ", ".join(f"{name} x{number}" for name, number in self.kernels) or "none (no elements)"


@dataclass(frozen=True, slots=True)
class FallThroughRow:
    """One overload that PyTorch's own kernel served, and why."""

    overload: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class AbsentRow:
    """One overload that the library serves and this PyTorch does not have."""

    operator: str
    overload: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """Who serves a class of calls of an overload under "auto", and why: "native", "ours", or "open" while it
    is being measured. `signature` is the class, empty where the whole overload is left to PyTorch."""

    overload: str
    signature: str
    choice: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One graph that `torch.compile` compiled with our back end. `fused` are kernels that Inductor generated
    and we compiled, `library` operators of the library, `foreign` PyTorch's with the reason, each with its
    number in the graph; `milliseconds` is the time of all calls, `compiling` the seconds of compiling it."""

    name: str
    calls: int
    milliseconds: float
    compiling: float
    fused: tuple[tuple[str, int], ...]
    library: tuple[tuple[str, int], ...]
    foreign: tuple[tuple[str, str, int], ...]
    replay: str

    @property
    def ours_text(self) -> str:
        """What is ours, in words."""
        parts = [f"{name} x{number}" for name, number in (*self.library, *self.fused)]
        return ", ".join(parts) or "nothing"


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by time, largest first, fall-throughs by calls, the choices of the policy "auto", what is left out
    for want of it in PyTorch, compiled graphs, and how often and why PyTorch broke a graph."""

    served: tuple[ServedRow, ...]
    fallen: tuple[FallThroughRow, ...]
    choices: tuple[ChoiceRow, ...] = ()
    absent: tuple[AbsentRow, ...] = ()
    graphs: tuple[GraphRow, ...] = ()
    breaks: tuple[tuple[str, int], ...] = ()

    @property
    def calls(self) -> int:
        """Calls that portable kernels served."""
        return sum(row.calls for row in self.served)

    @property
    def launches(self) -> int:
        """Kernels launched by those calls."""
        return sum(number for row in self.served for _, number in row.kernels)

    def __str__(self) -> str:
        lines = [f"{'overload':<44}{'calls':>7}{'ms':>10}  kernels"]
        for row in self.served:
            lines.append(f"{row.overload:<44}{row.calls:>7}{row.milliseconds:>10.3f}  {row.kernels_text}")
        lines.append(f"served: {self.calls} calls, {self.launches} launches")
        for fallen in self.fallen:
            lines.append(f"fell through: {fallen.overload} x{fallen.calls} ({fallen.reason})")
        if not self.fallen:
            lines.append("fell through: nothing")
        for row in self.choices:
            if row.signature:
                lines.append(
                    f"auto: {row.overload} {row.signature}: {row.choice} x{row.calls} ({row.reason})"
                )
        if self.left_text:
            lines.append(f"auto: {self.left_text}")
        lines += [f"left out: {row.overload} ({row.reason})" for row in self.absent]
        if self.graphs:
            lines.append(f"{'compiled graph':<44}{'calls':>7}{'ms':>10}{'compile s':>11}  ours")
        for row in self.graphs:
            times = f"{row.calls:>7}{row.milliseconds:>10.3f}{row.compiling:>11.2f}"
            lines.append(f"{row.name:<44}{times}  {row.ours_text}")
            lines += [f"  PyTorch's: {name} x{number} ({reason})" for name, reason, number in row.foreign]
            lines.append(f"  {row.replay}")
        lines += [f"graph break x{number}: {reason}" for reason, number in self.breaks]
        return "\n".join(lines)

    @property
    def left_text(self) -> str:
        """How many overloads "auto" leaves to PyTorch altogether, in words; empty where there are none."""
        left = sum(not row.signature for row in self.choices)
        return f"{left} overloads are PyTorch's own throughout" if left else ""

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return fragment(self)


def report(*, reset: bool = False) -> Report:
    """The report so far; with `reset`, counting begins anew."""
    statistics.settle()
    served = tuple(
        ServedRow(
            entry.operator,
            entry.overload,
            entry.calls,
            entry.seconds * 1e3,
            tuple(entry.kernels.most_common()),
        )
        for entry in sorted(statistics.served.values(), key=lambda entry: -entry.seconds)
        if entry.calls
    )
    fallen = tuple(
        FallThroughRow(overload, reason, calls)
        for (overload, reason), calls in statistics.fallen.most_common()
    )
    left_out = _absent() if served or registrations() else ()
    made = Report(served, fallen, _choices(), left_out, _graphs(), _breaks())
    if reset:
        statistics.reset()
        graphs.reset()
    return made


def _graphs() -> tuple[GraphRow, ...]:
    """The graphs that were compiled in this process, in order."""
    return tuple(
        GraphRow(
            f"{graph.number} ({graph.kind})",
            graph.calls,
            graph.seconds * 1e3,
            graph.compiling,
            tuple(graph.fused.items()),
            tuple(graph.library.items()),
            tuple((name, reason, number) for (name, reason), number in graph.foreign.items()),
            graph.replay(),
        )
        for graph in list(graphs.graphs)
    )


def _breaks() -> tuple[tuple[str, int], ...]:
    """Why PyTorch cut functions into several graphs, by its own count; nothing where none was compiled."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    if dynamo is None or not graphs.graphs:
        return ()
    return tuple((reason.split("\n")[0], number) for reason, number in dynamo.counters["graph_break"].items())


def _absent() -> tuple[AbsentRow, ...]:
    reason = f"PyTorch {torch.__version__} does not have it"
    return tuple(AbsentRow(operator, overload, reason) for overload, operator in sorted(absent().items()))


def _choices() -> tuple[ChoiceRow, ...]:
    """What "auto" chose since it was enabled; nothing under another policy."""
    current = registrations()
    if not isinstance(current, AutomaticRegistrations):
        return ()
    rows = [
        ChoiceRow(chooser.name, c.signature, c.verdict or "open", c.reason or "being measured", c.calls)
        for chooser in current.choosers
        for c in list(chooser.classes.values())
    ]
    rows += [ChoiceRow(name, "", "native", reason, 0) for name, reason in current.left.items()]
    return tuple(sorted(rows, key=lambda row: (-row.calls, row.overload)))

"""What ran since the start, or since the last reset: operators with calls, time and kernels, and what
fell through to PyTorch. The dispatcher's statistics flow in, a printable report flows out."""

from __future__ import annotations

from dataclasses import dataclass

from . import statistics


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One overload that portable kernels served; `kernels` pairs a kernel's name with its launches."""

    operator: str
    overload: str
    calls: int
    milliseconds: float
    kernels: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class FallThroughRow:
    """One overload that PyTorch's own kernel served, and why."""

    overload: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by time, largest first, and fall-throughs by calls."""

    served: tuple[ServedRow, ...]
    fallen: tuple[FallThroughRow, ...]

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
            kernels = ", ".join(f"{name} x{number}" for name, number in row.kernels) or "none (no elements)"
            lines.append(f"{row.overload:<44}{row.calls:>7}{row.milliseconds:>10.3f}  {kernels}")
        lines.append(f"served: {self.calls} calls, {self.launches} launches")
        for fallen in self.fallen:
            lines.append(f"fell through: {fallen.overload} x{fallen.calls} ({fallen.reason})")
        if not self.fallen:
            lines.append("fell through: nothing")
        return "\n".join(lines)


def report(*, reset: bool = False) -> Report:
    """The report so far; with `reset`, counting begins anew."""
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
    if reset:
        statistics.reset()
    return Report(served, fallen)

"""A profile as text, and what changed between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .result import Profile

KERNEL_COLUMNS = (
    "kernel", "launches", "ms", "share", "MB", "MFLOP", "of roof", "threads", "imbalance", "team ms"
)  # fmt: skip
OPERATOR_COLUMNS = ("operator", "calls", "ms", "own ms", "in kernels ms", "launches")


def kernel_cells(profile: Profile, most: int = 30) -> list[tuple[str, ...]]:
    """Rows for `KERNEL_COLUMNS`, the slowest first; "?" where nobody can tell."""
    return [
        (
            row.kernel,
            str(row.launches),
            f"{row.seconds * 1e3:.3f}",
            f"{row.share:.1%}",
            _scaled(row.bytes),
            _scaled(row.operations),
            f"{row.roof_share:.0%}" if row.roof_share is not None else "?",
            str(row.threads),
            f"{row.imbalance:.0%}" if row.imbalance is not None else "",
            f"{row.overhead_seconds * 1e3:.3f}" if row.overhead_seconds is not None else "",
        )
        for row in profile.kernels[:most]
    ]


def operator_cells(profile: Profile, most: int = 30) -> list[tuple[str, ...]]:
    """Rows for `OPERATOR_COLUMNS`."""
    return [
        (
            row.overload,
            str(row.calls),
            f"{row.seconds * 1e3:.3f}",
            f"{row.own_seconds * 1e3:.3f}",
            f"{row.kernel_seconds * 1e3:.3f}",
            str(row.launches),
        )
        for row in profile.operators[:most]
    ]


def remarks(profile: Profile) -> list[str]:
    """Lines beside the tables."""
    compiled = [row for row in profile.compilations if not row.from_cache]
    seconds = sum(row.prepare_seconds + row.code_seconds + row.load_seconds for row in profile.compilations)
    launches = sum(row.launches for row in profile.kernels)
    lines = [
        f"{profile.seconds:.3f} s, {profile.processor_seconds:.3f} s of processors, "
        f"{profile.threads} threads; {profile.kernel_seconds:.3f} s in {launches} launches",
        f"kernels made ready: {len(compiled)} compiled, {profile.cache_hits} from the cache, {seconds:.3f} s",
    ]
    if profile.memory:
        peak = max(resident for _, resident, _ in profile.memory)
        scratch = max(scratch for _, _, scratch in profile.memory)
        lines.append(
            f"memory: at most {peak / 2**20:.0f} MiB, {scratch / 2**20:.1f} MiB of it scratch of kernels"
        )
    lines += [f"range {name}: x{number}, {seconds * 1e3:.3f} ms" for name, number, seconds in profile.ranges]
    lines += [f"{name}: {value:,.0f}" for name, value in profile.counters.items()]
    lines += [f"left out: {text}" for text in profile.left_out]
    return lines


@dataclass(frozen=True, slots=True)
class Change:
    """A kernel or operator in two profiles; seconds and calls of both, 0 where it is not."""

    kind: str
    name: str
    calls: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def difference(self) -> float:
        """Seconds more in the second."""
        return self.seconds[1] - self.seconds[0]


def compare(before: Profile, after: Profile) -> list[Change]:
    """What changed, the largest difference of time first. Operators are compared by their own time."""
    changes = []
    sides: Sequence[tuple[str, list[dict[str, tuple[int, float]]]]] = (
        ("kernel", [{r.kernel: (r.launches, r.seconds) for r in p.kernels} for p in (before, after)]),
        ("operator", [{r.overload: (r.calls, r.own_seconds) for r in p.operators} for p in (before, after)]),
    )
    for kind, (old, new) in sides:
        for name in dict.fromkeys([*old, *new]):
            (calls, seconds), (calls_after, seconds_after) = old.get(name, (0, 0.0)), new.get(name, (0, 0.0))
            changes.append(Change(kind, name, (calls, calls_after), (seconds, seconds_after)))
    return sorted(changes, key=lambda change: -abs(change.difference))


def _scaled(number: int | None) -> str:
    """In millions."""
    return "?" if number is None else f"{number / 1e6:.2f}"

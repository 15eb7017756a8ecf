"""Memory over the time of a profile: of the process, and scratch memory of kernels."""

from __future__ import annotations

from typing import Any

from . import svg

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 200, 60, 20, 20, 30
MOST = 1000
"""Samples that are drawn: of neighbours, the one with most memory."""


def section(profile: dict[str, Any]) -> str:
    """The drawing; "" where there are not two samples."""
    samples = _thinned(profile.get("memory") or [])
    if len(samples) < 2:
        return ""
    begin, end = samples[0][0], max(samples[-1][0], samples[0][0] + 1e-9)
    peak = max(max(resident, scratch) for _, resident, scratch in samples) or 1

    def places(which: int) -> str:
        across, up = (svg.WIDTH - LEFT - RIGHT) / (end - begin), (HEIGHT - TOP - BOTTOM) / peak
        return " ".join(
            f"{LEFT + (row[0] - begin) * across:.1f},{HEIGHT - BOTTOM - row[which] * up:.1f}"
            for row in samples
        )

    parts = [
        svg.line(LEFT, HEIGHT - BOTTOM, svg.WIDTH - RIGHT, HEIGHT - BOTTOM, "grid"),
        svg.label(4, TOP + 4, f"{peak / 2**20:.0f} MiB"),
        svg.label(svg.WIDTH - RIGHT, HEIGHT - 8, f"{end - begin:.3g} s", text_anchor="end"),
        svg.element("polyline", svg.title("the process"), points=places(1), class_="series c0"),
        svg.element("polyline", svg.title("scratch of kernels"), points=places(2), class_="series c1"),
    ]
    return svg.drawing(HEIGHT, "".join(parts), "Memory over time")


def _thinned(samples: list[list[float]]) -> list[list[float]]:
    """At most `MOST` samples."""
    step = -(-len(samples) // MOST)
    return [max(samples[k : k + step], key=lambda row: row[1]) for k in range(0, len(samples), step or 1)]

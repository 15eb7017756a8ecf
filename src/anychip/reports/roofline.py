"""The roofline of a profile: speed of each kernel over its operations for a byte, beneath the measured
limits."""

from __future__ import annotations

import math
from typing import Any

from . import svg

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 70, 20, 20, 50


def section(profile: dict[str, Any]) -> str:
    """The drawing; "" where no kernel has operations, bytes and time."""
    points = [
        (row, row["operations"] / row["bytes"], row["operations"] / row["seconds"])
        for row in profile["kernels"]
        if row["operations"] and row["bytes"] and row["seconds"]
    ]
    if not points:
        return ""
    roofs = profile.get("roofs") or {}
    bandwidth, arithmetic = roofs.get("bytes_per_second"), roofs.get("operations_per_second")
    xs = [intensity for _, intensity, _ in points]
    ys = [rate for _, _, rate in points] + ([arithmetic] if arithmetic else [])
    if bandwidth and arithmetic:
        xs.append(arithmetic / bandwidth * 4)
    across, up = _Axis(xs, LEFT, svg.WIDTH - RIGHT), _Axis(ys, HEIGHT - BOTTOM, TOP)
    parts = [_grid(across, up)]
    if bandwidth and arithmetic:
        parts.append(_roof(across, up, bandwidth, arithmetic))
    largest = max(row["share"] for row, _, _ in points)
    for row, intensity, rate in points:
        share = (
            f", {row['least_seconds'] / row['seconds']:.0%} of the roof" if row.get("least_seconds") else ""
        )
        speed = f"{rate / 1e9:.2f} GFLOP/s, {intensity:.3g} FLOP/byte"
        told = f"{row['kernel']}: {speed}, {row['share']:.1%} of the time{share}"
        radius = 4 + 10 * math.sqrt(row["share"] / largest)
        parts.append(
            svg.element(
                "circle",
                svg.title(told),
                cx=across.at(intensity),
                cy=up.at(rate),
                r=radius,
                class_="point",
                tabindex=0,
            )
        )
        if row["share"] > 0.05:
            parts.append(
                svg.label(across.at(intensity) + radius + 3, up.at(rate) + 4, row["kernel"], class_="small")
            )
    return svg.drawing(HEIGHT, "".join(parts), "Roofline of the kernels")


class _Axis:
    """A logarithmic axis from `begin` to `end` over whole decades around some values."""

    def __init__(self, values: list[float], begin: float, end: float) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(values)) + 1e-9))
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self._begin + min(max(part, 0.0), 1.0) * (self._end - self._begin)

    @property
    def decades(self) -> list[int]:
        return list(range(self.low, self.high + 1))


def _grid(across: _Axis, up: _Axis) -> str:
    parts = []
    for decade in across.decades:
        x = across.at(10.0**decade)
        parts.append(svg.line(x, TOP, x, HEIGHT - BOTTOM, "grid"))
        parts.append(svg.label(x, HEIGHT - BOTTOM + 18, f"{10.0**decade:g}", text_anchor="middle"))
    for decade in up.decades:
        y = up.at(10.0**decade)
        parts.append(svg.line(LEFT, y, svg.WIDTH - RIGHT, y, "grid"))
        parts.append(svg.label(LEFT - 6, y + 4, f"{10.0 ** (decade - 9):g}", text_anchor="end"))
    parts.append(svg.label(svg.WIDTH / 2, HEIGHT - 8, "operations for a byte", text_anchor="middle"))
    parts.append(svg.label(LEFT + 6, TOP - 6, "GFLOP/s"))
    return "".join(parts)


def _roof(across: _Axis, up: _Axis, bandwidth: float, arithmetic: float) -> str:
    ridge = arithmetic / bandwidth
    low = max(10.0**across.low, 10.0**up.low / bandwidth)
    points = [(low, low * bandwidth), (ridge, arithmetic), (10.0**across.high, arithmetic)]
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)
    return svg.element("polyline", points=path, class_="roof")

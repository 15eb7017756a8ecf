"""Speed over commits: geometric means of PyTorch's time over ours, by size of the inputs."""

from __future__ import annotations

from collections.abc import Sequence

from . import svg
from .inputs import Speed

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260, 50, 90, 20, 40


def section(history: Sequence[Speed]) -> str:
    """A line for each chip and size, and the table; "" without records."""
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for number, speed in enumerate(history):
        for size, mean in speed.means.items():
            series.setdefault((speed.chip, size), []).append((number, mean))
    if not series:
        return ""
    top = max(mean for points in series.values() for _, mean in points) * 1.1
    step = (svg.WIDTH - LEFT - RIGHT) / max(1, len(history) - 1)

    def y(mean: float) -> float:
        return HEIGHT - BOTTOM - mean / top * (HEIGHT - BOTTOM - TOP)

    parts = [svg.line(LEFT, y(1.0), svg.WIDTH - RIGHT, y(1.0), "one"), svg.label(4, y(1.0) + 4, "1.0")]
    for number, ((chip, size), points) in enumerate(sorted(series.items())):
        places = [(LEFT + at * step, y(mean)) for at, mean in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(svg.element("polyline", points=path, class_=f"series c{number % 5}"))
        for (a, b), (at, mean) in zip(places, points):
            told = f"{chip} {size}: {mean:.3f} at {history[at].commit or 'now'} {history[at].date}"
            parts.append(
                svg.element("circle", svg.title(told), cx=a, cy=b, r=4, class_=f"c{number % 5}", tabindex=0)
            )
        parts.append(
            svg.label(places[-1][0] + 8, places[-1][1] + 4, f"{size} {points[-1][1]:.2f}", class_="small")
        )
    for at, speed in enumerate(history):
        if len(history) <= 12 or at % (len(history) // 12 + 1) == 0:
            parts.append(
                svg.label(
                    LEFT + at * step, HEIGHT - 14, speed.commit or "now", class_="small", text_anchor="middle"
                )
            )
    rows = [
        (
            s.commit or "now",
            s.date,
            s.chip,
            s.operators,
            ", ".join(f"{size} {mean:.2f}" for size, mean in s.means.items()),
        )
        for s in reversed(history)
    ]
    return svg.drawing(HEIGHT, "".join(parts), "Speed over commits") + svg.table(
        ("commit", "date", "chip", "operators", "PyTorch's time over ours"), rows, 20
    )

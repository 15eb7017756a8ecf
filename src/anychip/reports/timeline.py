"""The timeline of a trace: what ran when on which thread, the longest events of it."""

from __future__ import annotations

from typing import Any

from . import svg

ROW, LEFT = 16, 0
CATEGORIES = ("range", "operator", "PyTorch", "kernel")


def section(trace: dict[str, Any], most: int = 4000) -> str:
    """The drawing of the `most` longest events; "" where nothing took time."""
    events = [
        event
        for event in trace["traceEvents"]
        if event.get("ph") == "X" and event.get("cat") in CATEGORIES and event.get("dur", 0) > 0
    ]
    if not events:
        return ""
    kept = sorted(events, key=lambda event: -event["dur"])[:most]
    begin = min(event["ts"] for event in kept)
    end = max(event["ts"] + event["dur"] for event in kept)
    unit = svg.WIDTH / (end - begin)
    keys = sorted({(event["tid"], event["cat"]) for event in kept}, key=_order)
    tracks = {key: number for number, key in enumerate(keys)}
    parts = []
    for (_, category), number in tracks.items():
        parts.append(svg.label(2, number * (ROW + 14) + 11, category, class_="small"))
    for event in kept:
        y = tracks[event["tid"], event["cat"]] * (ROW + 14) + 14
        told = f"{event['name']}: {event['dur'] / 1e3:.4g} ms at {(event['ts'] - begin) / 1e3:.4g} ms"
        width = max(event["dur"] * unit, 0.4)
        parts.append(
            svg.element(
                "rect",
                svg.title(told),
                x=(event["ts"] - begin) * unit,
                y=y,
                width=width,
                height=ROW - 2,
                class_=f"t-{event['cat']}",
            )
        )
    left = len(events) - len(kept)
    note = f"<p>The {most} longest of {len(events)} events.</p>" if left else ""
    height = len(tracks) * (ROW + 14) + 24
    parts.append(svg.label(svg.WIDTH, height - 6, f"{(end - begin) / 1e3:.4g} ms", text_anchor="end"))
    return svg.drawing(height, "".join(parts), "Timeline of threads") + note


def _order(key: tuple[int, str]) -> tuple[int, int]:
    return key[0], CATEGORIES.index(key[1])

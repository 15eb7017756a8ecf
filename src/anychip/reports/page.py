"""The page: sections of what was found, one style and one script in it, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import flame, heat_map, history, memory, roofline, svg, timeline
from .inputs import Inputs

_HERE = Path(__file__).parent
MARKS = 5000
"""Frames and events that all drawings have together, at most: the file stays below 2 MB."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""What a browser lets the page do: nothing over a network."""


def page(inputs: Inputs, title: str) -> str:
    """The whole file."""
    sections = [(name, heading, body) for name, heading, body in _sections(inputs) if body]
    links = "".join(f'<a href="#{name}">{svg.text(heading)}</a>' for name, heading, _ in sections)
    bodies = "".join(
        f'<section id="{name}"><h2>{svg.text(heading)}</h2>{body}</section>'
        for name, heading, body in sections
    )
    style, script = (_HERE.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{svg.text(title)}</title><style>{style}</style></head><body>"
        f"<h1>{svg.text(title)}</h1><nav>{links}</nav>{bodies}<script>{script}</script></body></html>\n"
    )


def _sections(inputs: Inputs) -> Iterator[tuple[str, str, str]]:
    """Name, heading and content of each; content is "" where there is nothing to show."""
    most = MARKS // max(1, len(inputs.profiles) + len(inputs.traces))
    for number, (file, profile) in enumerate(inputs.profiles):
        yield f"profile{number}", f"Profile {file}", _summary(profile)
        yield f"roofline{number}", f"Roofline of {file}", roofline.section(profile)
        yield f"memory{number}", f"Memory of {file}", memory.section(profile)
        yield f"flame{number}", f"Flame graph of {file}", flame.section(profile, most)
    for number, (file, trace) in enumerate(inputs.traces):
        yield f"timeline{number}", f"Timeline of {file}", timeline.section(trace, most)
    yield "chips", "Operators by chips", heat_map.section(inputs.chips)
    yield "differences", "Differences between chips", heat_map.differences(inputs.chips)
    yield "history", "Speed over commits", history.section(inputs.history)


def _summary(profile: dict[str, Any]) -> str:
    kernels = [
        (
            row["kernel"],
            row["launches"],
            f"{row['seconds'] * 1e3:.3f}",
            f"{row['share']:.1%}",
            f"{row['least_seconds'] / row['seconds']:.0%}"
            if row.get("least_seconds") and row["seconds"]
            else "?",
            ", ".join(row["operators"]),
        )
        for row in profile["kernels"]
    ]
    operators = [
        (
            row["overload"],
            row["calls"],
            f"{row['own_seconds'] * 1e3:.3f}",
            f"{row['kernel_seconds'] * 1e3:.3f}",
        )
        for row in profile["operators"]
    ]
    left = "".join(svg.element("li", svg.text(text)) for text in profile.get("left_out", ()))
    return (
        f"<p><code>{svg.text(profile['command'])}</code>: {profile['seconds']:.3f} s, "
        f"{profile['threads']} threads</p>"
        + svg.table(("kernel", "launches", "ms", "share", "of roof", "operators"), kernels, 25)
        + (svg.table(("operator", "calls", "own ms", "in kernels ms"), operators, 25) if operators else "")
        + (f"<p>Not in these figures:</p><ul>{left}</ul>" if left else "")
    )

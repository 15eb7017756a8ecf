"""The flame graph of a profile's stacks: width is the share of samples, depth that of calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import svg

ROW, THINNEST, DEEPEST = 18, 0.6, 60
"""Units of a row's height, of the narrowest frame that is drawn, and rows."""


@dataclass
class _Node:
    name: str
    samples: int = 0
    inside: dict[str, _Node] = field(default_factory=dict)


def section(profile: dict[str, Any], most: int = 4000) -> str:
    """The drawing of the `most` widest frames; "" where there are no samples. Frames that all stacks begin
    with are left out."""
    root = _Node("all")
    for frames, count in profile["stacks"]:
        node = root
        node.samples += count
        for frame in frames:
            node = node.inside.setdefault(frame, _Node(frame))
            node.samples += count
    if not root.samples:
        return ""
    while len(root.inside) == 1 and (only := next(iter(root.inside.values()))).inside:
        root = only
    boxes = sorted(_boxes(root, 0.0, 0, svg.WIDTH / root.samples), key=lambda box: (-box[2], box[3]))[:most]
    height = ROW * (1 + max(depth for _, _, _, depth in boxes))
    drawn = "".join(_box(node, x, width, depth, root.samples) for node, x, width, depth in boxes)
    return svg.drawing(height, f'<g class="flame">{drawn}</g>', "Flame graph of Python's stacks and kernels")


def _boxes(node: _Node, x: float, depth: int, unit: float) -> Iterator[tuple[_Node, float, float, int]]:
    yield node, x, node.samples * unit, depth
    if depth == DEEPEST:
        return
    for inner in sorted(node.inside.values(), key=lambda inner: inner.name):
        if inner.samples * unit >= THINNEST:
            yield from _boxes(inner, x, depth + 1, unit)
        x += inner.samples * unit


def _box(node: _Node, x: float, width: float, depth: int, total: int) -> str:
    kind = "kernel" if node.name.startswith("kernel ") else f"f{sum(node.name.encode()) % 5}"
    letters = int(width / 6.2)
    told = f"{node.name}: {node.samples} samples, {node.samples / total:.1%}"
    box = svg.element("rect", x=x, y=depth * ROW, width=width, height=ROW - 1, class_=kind)
    words = svg.label(x + 3, depth * ROW + 13, node.name[:letters], class_="small") if letters > 3 else ""
    return svg.element("g", svg.title(told) + box + words)

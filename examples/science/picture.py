"""Pictures without a plotting package: fields as PNG, curves as SVG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

COLD, EVEN, WARM = np.array([33, 102, 172]), np.array([247, 247, 247]), np.array([178, 24, 43])
STROKES = ("#2166ac", "#b2182b", "#4d4d4d")


def field(path: Path, values: np.ndarray, scale: int = 3) -> None:
    """Write values [height, width], from blue over white at zero to red, the first row at the bottom."""
    level = np.clip(values / max(float(np.abs(values).max()), 1e-300), -1, 1)[::-1, :, None]
    colours = np.where(level < 0, EVEN + level * (EVEN - COLD), EVEN + level * (WARM - EVEN))
    pixels = np.kron(colours, np.ones((scale, scale, 1))).astype(np.uint8)
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows, 9)),
            (b"IEND", b""),
        ):
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))


def curves(
    path: Path, x: np.ndarray, named: Sequence[tuple[str, np.ndarray]], across: str, upwards: str
) -> None:
    """Write curves of several names over x, with axes from the least to the largest value."""
    width, height, edge = 640, 400, 50
    low = min(0.0, *(float(y.min()) for _, y in named))
    high = max(float(y.max()) for _, y in named)

    def place(u: float, v: float) -> str:
        right = edge + (u - x[0]) / (x[-1] - x[0]) * (width - 2 * edge)
        return f"{right:.1f},{height - edge - (v - low) / (high - low) * (height - 2 * edge):.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for v in np.linspace(low, high, 5):
        start, stop = place(x[0], v), place(x[-1], v)
        parts.append(f'<polyline points="{start} {stop}" stroke="#dddddd"/>')
        left, top = start.split(",")
        parts.append(f'<text x="{float(left) - 8:.0f}" y="{top}" text-anchor="end">{v:.2f}</text>')
    for u in np.linspace(x[0], x[-1], 6):
        left, top = place(u, low).split(",")
        parts.append(f'<text x="{left}" y="{float(top) + 18:.0f}" text-anchor="middle">{u:.2f}</text>')
    for k, (name, y) in enumerate(named):
        points = " ".join(place(u, v) for u, v in zip(x, y))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{STROKES[k]}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 180}" y="{30 + 18 * k}" fill="{STROKES[k]}">{name}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">{across}</text>')
    parts.append(f'<text x="12" y="20">{upwards}</text></svg>')
    path.write_text("\n".join(parts), encoding="utf-8")

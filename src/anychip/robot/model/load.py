"""A robot from a file: by what is in it, URDF or MJCF."""

from __future__ import annotations

from pathlib import Path

from ..errors import RobotError
from .description import Robot
from .mjcf import load_mjcf
from .urdf import load_urdf


def load(source: str | Path, root: str = "fixed") -> Robot:
    """The robot of a URDF or MJCF file, or of the text of one. `root` says how a URDF's first link is in the
    world: "fixed", "free_flyer" or "planar"; MJCF says it itself, and takes the package `mujoco`. Raises
    RobotError."""
    text = str(source)
    if not text.lstrip().startswith("<"):
        file = Path(source)
        if not file.is_file():
            raise RobotError(f"there is no file {text!r}")
        text = file.read_text(encoding="utf-8")
    if "<mujoco" in text and "<robot" not in text:
        if root != "fixed":
            raise RobotError(f"root {root!r} is for URDF; an MJCF file has a <freejoint> where it is meant")
        return load_mjcf(source)
    return load_urdf(text, root)

"""Robots from URDF files. Flows in: a file, or its text. Flows out: a description. Joints are laid out as
Pinocchio's parser does it: depth first, the children of a link by their joints' names; bodies behind fixed
joints belong to the body before these; a mimic joint is a joint of its own. Meshes are not looked at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..errors import RobotError
from .description import Builder, Inertia, Placement, Robot

ROOTS: dict[str, str] = {"fixed": "", "free_flyer": "free_flyer", "planar": "planar"}
"""How a robot stands in the world -> the kind of the joint that is added before its first link."""
KIND_OF: dict[str, str] = {
    "revolute": "revolute",
    "continuous": "continuous",
    "prismatic": "prismatic",
    "floating": "free_flyer",
    "planar": "planar",
    "spherical": "ball",
}


def load_urdf(source: str | Path, root: str = "fixed") -> Robot:
    """The robot of a URDF file, or of the text of one. `root`: "fixed", "free_flyer" or "planar", which adds
    a joint `root_joint` before the first link. Raises RobotError for what is no robot."""
    if root not in ROOTS:
        raise RobotError(f"root is {root!r}; say {', '.join(map(repr, ROOTS))}")
    text = str(source)
    if not text.lstrip().startswith("<"):
        text = Path(source).read_text(encoding="utf-8")
    try:
        top = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RobotError(f"the URDF does not parse: {error}") from error
    if top.tag != "robot":
        raise RobotError(f"the file's first element is <{top.tag}>, not <robot>: it is no URDF")
    return _Reader(top).robot(root)


class _Reader:
    """One file: its links and joints by name."""

    def __init__(self, top: Any):
        self.name = top.get("name") or "robot"
        self.links = {link.get("name"): link for link in top.findall("link")}
        self.joints = {joint.get("name"): joint for joint in top.findall("joint")}
        self.children: dict[str, list[str]] = {}
        below = set()
        for name in sorted(self.joints):
            parent, child = (_link(self.joints[name], end, self.links) for end in ("parent", "child"))
            self.children.setdefault(parent, []).append(name)
            if child in below:
                raise RobotError(f"link {child!r} has two parents; {self.name} is no tree")
            below.add(child)
        tops = [link for link in self.links if link not in below]
        if len(tops) != 1:
            raise RobotError(f"{self.name} has {len(tops)} links without parent ({tops[:5]}); a tree has one")
        self.top = tops[0]

    def robot(self, root: str) -> Robot:
        """The description."""
        builder = Builder(self.name)
        joint = -1
        if ROOTS[root]:
            joint = builder.add("root_joint", ROOTS[root], -1, Placement())
        builder.link(self.top, joint, Placement())
        builder.attach(joint, Placement(), _inertia(self.links[self.top]))
        self._visit(builder, self.top, joint, Placement())
        return builder.robot()

    def _visit(self, builder: Builder, link: str, joint: int, placement: Placement) -> None:
        """Everything below a link, depth first, without recursion: a chain may be long."""
        pending = [(name, joint, placement) for name in reversed(self.children.get(link, []))]
        while pending:
            name, joint, placement = pending.pop()
            element = self.joints[name]
            child = element.find("child").get("link")
            here = placement @ _origin(element)
            if element.get("type") == "fixed":
                builder.frame(name, joint, here)
                below, at = joint, here
            else:
                below, at = self._moving(builder, name, element, joint, here), Placement()
            builder.link(child, below, at)
            builder.attach(below, at, _inertia(self.links[child]))
            pending += [(each, below, at) for each in reversed(self.children.get(child, []))]

    def _moving(self, builder: Builder, name: str, element: Any, parent: int, placement: Placement) -> int:
        kind = KIND_OF.get(element.get("type"))
        if kind is None:
            raise RobotError(f"joint {name!r} is {element.get('type')!r}; known are {', '.join(KIND_OF)}")
        more: dict[str, Any] = {}
        if kind in ("revolute", "continuous", "prismatic"):
            axis = _numbers(element.find("axis"), "xyz", (1.0, 0.0, 0.0))
            length = float(np.linalg.norm(axis))
            if length == 0.0:
                raise RobotError(f"joint {name!r} has the axis 0 0 0")
            more["axis"] = axis / length
            limit = element.find("limit")
            if limit is not None:
                if kind != "continuous":
                    more["lower"] = (float(limit.get("lower", 0.0)),)
                    more["upper"] = (float(limit.get("upper", 0.0)),)
                more["effort"] = (float(limit.get("effort", math.inf)),)
                more["speed"] = (float(limit.get("velocity", math.inf)),)
        return builder.add(name, kind, parent, placement, **more)


def _link(joint: Any, end: str, links: Any) -> str:
    element = joint.find(end)
    name = element.get("link") if element is not None else None
    if name is None or name not in links:
        raise RobotError(f"joint {joint.get('name')!r}: its {end} is {name!r}, which is no link")
    return name


def _numbers(element: Any, key: str, default: tuple[float, ...]) -> Any:
    text = element.get(key) if element is not None else None
    if element is None or text is None:
        return np.array(default)
    try:
        found = np.array([float(word) for word in text.split()])
    except ValueError:
        found = np.zeros(0)
    if found.shape != (len(default),):
        raise RobotError(f"<{element.tag} {key}={text!r}> must be {len(default)} numbers")
    return found


def rotation_of(roll: float, pitch: float, yaw: float) -> Any:
    """The matrix of URDF's three angles: turns about the fixed axes x, y, z in this order."""
    a, b, c = math.cos(roll), math.cos(pitch), math.cos(yaw)
    d, e, f = math.sin(roll), math.sin(pitch), math.sin(yaw)
    turned = np.array(
        [
            [c * b, c * e * d - f * a, c * e * a + f * d],
            [f * b, f * e * d + c * a, f * e * a - c * d],
            [-e, b * d, b * a],
        ]
    )
    # A quarter turn's cosine is 6e-17: as 0 it costs no operation.
    turned[abs(turned) < 1e-15] = 0.0
    return turned


def _origin(element: Any) -> Placement:
    origin = element.find("origin")
    return Placement(
        rotation_of(*_numbers(origin, "rpy", (0.0, 0.0, 0.0))), _numbers(origin, "xyz", (0.0, 0.0, 0.0))
    )


def _inertia(link: Any) -> Inertia:
    element = link.find("inertial")
    if element is None:
        return Inertia()
    mass, matrix = element.find("mass"), element.find("inertia")
    kg = float(mass.get("value", 0.0)) if mass is not None else 0.0
    entries = (
        {key: float(matrix.get(key, 0.0)) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")}
        if (matrix is not None)
        else dict.fromkeys(("ixx", "ixy", "ixz", "iyy", "iyz", "izz"), 0.0)
    )
    own = np.array(
        [
            [entries["ixx"], entries["ixy"], entries["ixz"]],
            [entries["ixy"], entries["iyy"], entries["iyz"]],
            [entries["ixz"], entries["iyz"], entries["izz"]],
        ]
    )
    at = _origin(element)
    return Inertia.about_centre(kg, at.translation, at.rotation @ own @ at.rotation.T)

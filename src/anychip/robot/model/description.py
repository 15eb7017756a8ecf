"""A robot as data: a tree of joints, each with the body that it moves, and frames that are fixed to bodies.
Flows out: the layout of configurations q and velocities v, which is Pinocchio's: joints depth first, children
by name; quaternions with the real part last; velocities of a free-flyer, a ball and a plane in the moving
body's axes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...suggestions import did_you_mean
from ..errors import RobotError

Array = Any
"""A NumPy array of float64."""


@dataclass(frozen=True, slots=True)
class JointKind:
    """`nq` numbers of a configuration, `nv` of a velocity."""

    nq: int
    nv: int


KINDS: Mapping[str, JointKind] = {
    "revolute": JointKind(1, 1),
    "continuous": JointKind(2, 1),
    "prismatic": JointKind(1, 1),
    "free_flyer": JointKind(7, 6),
    "ball": JointKind(4, 3),
    "planar": JointKind(4, 3),
}
"""Kind -> layout. q of `continuous` is (cos, sin); of `free_flyer` position and quaternion xyzw; of `ball` a
quaternion xyzw; of `planar` (x, y, cos, sin). v of `free_flyer` is linear, then angular."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A rotation matrix and a translation in metres: from a frame into the one that it is placed in."""

    rotation: Array = field(default_factory=lambda: np.eye(3))
    translation: Array = field(default_factory=lambda: np.zeros(3))

    def __matmul__(self, other: Placement) -> Placement:
        """This placement after the other one."""
        return Placement(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)


@dataclass(frozen=True, slots=True)
class Inertia:
    """Mass in kg, mass times centre in kg m, and rotational inertia about the frame's origin in kg m^2."""

    mass: float = 0.0
    moment: Array = field(default_factory=lambda: np.zeros(3))
    rotational: Array = field(default_factory=lambda: np.zeros((3, 3)))

    @staticmethod
    def about_centre(mass: float, centre: Array, rotational: Array) -> Inertia:
        """From the inertia about the centre of mass, in the frame's axes."""
        shift = mass * (centre @ centre * np.eye(3) - np.outer(centre, centre))
        return Inertia(mass, mass * centre, rotational + shift)

    def placed(self, at: Placement) -> Inertia:
        """The same body's in the frame that its own frame is placed in."""
        if self.mass == 0.0:
            turned = at.rotation @ self.rotational @ at.rotation.T
            return Inertia(0.0, np.zeros(3), turned)
        centre = self.moment / self.mass
        own = self.rotational - self.mass * (centre @ centre * np.eye(3) - np.outer(centre, centre))
        turned = at.rotation @ own @ at.rotation.T
        return Inertia.about_centre(self.mass, at.rotation @ centre + at.translation, turned)

    def __add__(self, other: Inertia) -> Inertia:
        """Both bodies as one."""
        return Inertia(self.mass + other.mass, self.moment + other.moment, self.rotational + other.rotational)


@dataclass(frozen=True, slots=True)
class Joint:
    """A joint, and the body that it moves with what is fixed to it. `parent`: the place of the joint that
    moves the body it is on, -1 for the world; `placement`: of the joint in that body; `lower` and `upper`:
    limits of its nq numbers; `effort` and `speed`: of its nv."""

    name: str
    kind: str
    parent: int
    placement: Placement
    axis: Array
    inertia: Inertia
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    effort: tuple[float, ...]
    speed: tuple[float, ...]
    at_q: int
    at_v: int
    armature: float = 0.0

    @property
    def nq(self) -> int:
        """Numbers of a configuration."""
        return KINDS[self.kind].nq

    @property
    def nv(self) -> int:
        """Numbers of a velocity."""
        return KINDS[self.kind].nv


@dataclass(frozen=True, slots=True)
class Frame:
    """A link or a fixed joint: where it is in the body of a joint (-1: in the world)."""

    name: str
    joint: int
    placement: Placement


@dataclass(frozen=True, eq=False)
class Robot:
    """A whole robot. `frames` are by name: links, and joints of every kind. `gravity` in m/s^2. `formulas`
    keeps the kernels that were generated for it."""

    name: str
    joints: tuple[Joint, ...]
    frames: Mapping[str, Frame]
    gravity: tuple[float, float, float] = (0.0, 0.0, -9.81)
    formulas: dict[Any, Any] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def nq(self) -> int:
        """Numbers of a configuration."""
        return sum(joint.nq for joint in self.joints)

    @functools.cached_property
    def nv(self) -> int:
        """Numbers of a velocity."""
        return sum(joint.nv for joint in self.joints)

    @functools.cached_property
    def mass(self) -> float:
        """All moving bodies together, in kg."""
        return sum(joint.inertia.mass for joint in self.joints)

    @functools.cached_property
    def limits(self) -> tuple[Array, Array]:
        """The least and the largest configuration, (nq,) each, infinite where there is no limit."""
        return tuple(
            np.array([x for joint in self.joints for x in getattr(joint, word)])
            for word in ("lower", "upper")
        )  # type: ignore[return-value]

    def neutral(self) -> Array:
        """The configuration of zero motion (nq,): joints at 0, quaternions of no turn."""
        found = np.zeros(self.nq)
        for joint in self.joints:
            if joint.kind in ("free_flyer", "ball"):
                found[joint.at_q + joint.nq - 1] = 1.0
            elif joint.kind in ("continuous", "planar"):
                found[joint.at_q + joint.nq - 2] = 1.0
        return found

    def frame(self, name: str) -> Frame:
        """A frame by name. Raises RobotError with the nearest name."""
        if name not in self.frames:
            raise RobotError(f"{self.name} has no frame {name!r}. {did_you_mean(name, set(self.frames))}")
        return self.frames[name]

    def joint_frames(self) -> list[Frame]:
        """The frames of the moving joints, in their order: those of the bodies that they move."""
        return [Frame(joint.name, place, Placement()) for place, joint in enumerate(self.joints)]

    def ancestors(self, joint: int) -> list[int]:
        """The joints from the root to a joint, with it; none for -1."""
        found: list[int] = []
        while joint >= 0:
            found.append(joint)
            joint = self.joints[joint].parent
        return found[::-1]


class Builder:
    """Collects joints and frames in order. `add` gives the place of a joint; `attach` adds to a joint's
    body."""

    def __init__(self, name: str):
        self.name = name
        self._joints: list[dict[str, Any]] = []
        self._links: dict[str, Frame] = {}
        self._frames: dict[str, Frame] = {}
        self._nq = 0
        self._nv = 0

    def add(self, name: str, kind: str, parent: int, placement: Placement, **more: Any) -> int:
        """A joint on the body of `parent`; `more` has `axis`, limits and the like of `Joint`."""
        layout = KINDS[kind]
        self._joints.append(
            {
                "name": name,
                "kind": kind,
                "parent": parent,
                "placement": placement,
                "axis": np.zeros(3),
                "inertia": Inertia(),
                "lower": (-np.inf,) * layout.nq,
                "upper": (np.inf,) * layout.nq,
                "effort": (np.inf,) * layout.nv,
                "speed": (np.inf,) * layout.nv,
                "at_q": self._nq,
                "at_v": self._nv,
                **more,
            }
        )
        self._nq += layout.nq
        self._nv += layout.nv
        self.frame(name, len(self._joints) - 1, Placement())
        return len(self._joints) - 1

    def link(self, name: str, joint: int, placement: Placement) -> None:
        """The frame of a link, which a joint of the same name gives way to."""
        self._links[name] = Frame(name, joint, placement)

    def attach(self, joint: int, placement: Placement, inertia: Inertia) -> None:
        """A body that is fixed to a joint's; what is fixed to the world has no effect."""
        if joint >= 0:
            own = self._joints[joint]
            own["inertia"] = own["inertia"] + inertia.placed(placement)

    def frame(self, name: str, joint: int, placement: Placement) -> None:
        """The frame of a joint; the first one of a name stays."""
        self._frames.setdefault(name, Frame(name, joint, placement))

    def robot(self, gravity: Sequence[float] = (0.0, 0.0, -9.81)) -> Robot:
        """The robot."""
        x, y, z = gravity
        frames = {**self._frames, **self._links}
        return Robot(self.name, tuple(Joint(**row) for row in self._joints), frames, (x, y, z))

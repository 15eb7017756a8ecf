"""A UR5 arm in MuJoCo, and a policy of three stages that draws with it.

    anychip link serve examples/robot/arm.py:policy
    anychip link run examples/robot/arm.py:robot examples/robot/arm.py:policy --ticks 500 --max-age 300ms

The description of the arm comes from the package `example-robot-data`; masses and joints are the real arm's.
Needs `pip install mujoco example-robot-data`."""

from __future__ import annotations

import importlib.metadata
import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import torch

from anychip.link import Command, JerkLimitedStop, Policy, Robot, Stage

HZ, CHUNK, JOINTS = 50.0, 16, 6
SECONDS_OF_A_ROUND = 4.0
CENTRE = np.array([0.0, -1.2, 1.6, -0.6, 0.3, 0.0])
WIDTH = np.array([0.5, 0.25, 0.3, 0.2, 0.4, 0.6])
STATISTICS = {"joints": {"mean": CENTRE, "std": WIDTH}}
STIFFNESS, DAMPING = 4000.0, 400.0


def perceive(tensors: Any) -> Any:
    """The joints, normalised, and the phase of the round as a point on a circle."""
    joints = (tensors["joints"].double() - torch.from_numpy(CENTRE)) / torch.from_numpy(WIDTH)
    turn = 2 * math.pi * tensors["phase"].double()
    return {"joints": joints, "circle": torch.cat([turn.cos(), turn.sin()], 1)}


def intend(tensors: Any) -> Any:
    """Where each joint should be at every tick of the chunk: sines of the phase, each of another order."""
    ahead = torch.arange(1, CHUNK + 1) * (2 * math.pi / HZ / SECONDS_OF_A_ROUND)
    start = torch.atan2(tensors["circle"][:, 1], tensors["circle"][:, 0])
    order = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    turn = (start[:, None] + ahead)[:, :, None] * order
    return {"joints": tensors["joints"], "wanted": turn.sin()}


def act(tensors: Any) -> Any:
    """From where the joints are to where they should be, smoothly, and back from normalised numbers."""
    wanted = tensors["wanted"]
    fading = torch.exp(-torch.arange(1, CHUNK + 1) / (0.4 * HZ))[None, :, None]
    way = wanted + (tensors["joints"] - wanted[:, 0])[:, None, :] * fading
    return {"actions": (way * torch.from_numpy(WIDTH) + torch.from_numpy(CENTRE)).float()}


def policy() -> Policy:
    """What robot and server load."""
    stages = (Stage("perceive", perceive), Stage("intend", intend), Stage("act", act))
    observation = {"joints": ("float32", (JOINTS,)), "phase": ("float32", (1,))}
    return Policy(stages, observation, CHUNK, JOINTS, STATISTICS)


def description() -> str:
    """The arm's URDF without its meshes, which nothing here looks at."""
    try:
        files = importlib.metadata.files("example-robot-data") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    file = next((each.locate() for each in files if each.name == "ur5_robot.urdf"), None)
    if file is None:
        raise SystemExit("The arm's description is missing: pip install example-robot-data")
    root = ElementTree.parse(str(file)).getroot()
    for link in root.iter("link"):
        for kind in ("visual", "collision"):
            for part in link.findall(kind):
                link.remove(part)
    for part in [part for part in root if part.tag in ("transmission", "gazebo")]:
        root.remove(part)
    ElementTree.SubElement(ElementTree.SubElement(root, "mujoco"), "compiler", {"fusestatic": "false"})
    return ElementTree.tostring(root, encoding="unicode")


class Arm:
    """The simulated arm: motors that follow a position, as an arm's own controller does. Time goes on by one
    period with every command."""

    def __init__(self) -> None:
        import mujoco

        self._mujoco = mujoco
        self.model = mujoco.MjModel.from_xml_string(description())
        self.model.opt.timestep = 0.002
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:] = CENTRE
        mujoco.mj_forward(self.model, self.data)
        self.history: list[tuple[Command, np.ndarray]] = []

    def observe(self) -> dict[str, np.ndarray]:
        """Joints, and where in its round the arm should be."""
        phase = self.data.time / SECONDS_OF_A_ROUND % 1.0
        return {"joints": self.data.qpos.astype(np.float32), "phase": np.array([phase], np.float32)}

    def position(self) -> np.ndarray:
        """The joints' angles in radians."""
        return np.array(self.data.qpos)

    def apply(self, command: Command) -> None:
        """Follow a command for a period."""
        inertia = np.zeros((JOINTS, JOINTS))
        for _ in range(round(1 / HZ / self.model.opt.timestep)):
            self._mujoco.mj_forward(self.model, self.data)
            self._mujoco.mj_fullM(self.model, self.data, inertia)
            wanted = STIFFNESS / 10 * (command.values - self.data.qpos) - DAMPING / 10 * self.data.qvel
            self.data.qfrc_applied[:] = inertia @ wanted + self.data.qfrc_bias
            self._mujoco.mj_step(self.model, self.data)
        self.history.append((command, self.position()))


def robot() -> Robot:
    """The arm as the link takes it. Its own policy goes to the middle of the drawing, slowly."""
    arm = Arm()

    def home(seen: Any) -> np.ndarray:
        return seen["joints"] + (CENTRE - seen["joints"]) * 0.02

    return Robot("ur5", arm.observe, arm.position, arm.apply, JerkLimitedStop(60.0, 8.0), home)

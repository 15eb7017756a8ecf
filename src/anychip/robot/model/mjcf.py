"""Robots from MJCF, as the `mujoco` package compiles it. Flows in: a file or its text. Flows out: a
description in the same layout as of URDF: quaternions with the real part last. A body's joints become joints
one after the other, bodies without joint belong to the body before. Tendons, equality constraints and
contacts are not part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...packages import require
from ..errors import RobotError
from .description import Builder, Inertia, Placement, Robot


def load_mjcf(source: str | Path) -> Robot:
    """The robot of an MJCF file, or of the text of one. Raises MissingPackage without `mujoco`, and
    RobotError for what it does not compile."""
    require("anychip.robot.load of MJCF", ["mujoco"])
    import mujoco  # type: ignore[import-not-found]

    text = str(source)
    try:
        if text.lstrip().startswith("<"):
            model = mujoco.MjModel.from_xml_string(text)
        else:
            model = mujoco.MjModel.from_xml_path(text)
    except ValueError as error:
        raise RobotError(f"MuJoCo does not compile it: {error}") from error
    return _read(model, mujoco)


def _matrix(quaternion: Any) -> Any:
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    found = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    found[abs(found) < 1e-15] = 0.0
    return found


def _read(model: Any, mujoco: Any) -> Robot:
    kinds = {
        mujoco.mjtJoint.mjJNT_FREE: "free_flyer",
        mujoco.mjtJoint.mjJNT_BALL: "ball",
        mujoco.mjtJoint.mjJNT_SLIDE: "prismatic",
        mujoco.mjtJoint.mjJNT_HINGE: "revolute",
    }
    builder = Builder("robot")
    # Where each body is: the joint that moves it, and its placement in what that moves.
    at: list[tuple[int, Placement]] = [(-1, Placement())]
    for body in range(1, model.nbody):
        parent, before = at[model.body_parentid[body]]
        here = before @ Placement(_matrix(model.body_quat[body]), np.array(model.body_pos[body]))
        first = model.body_jntadr[body]
        for number in range(first, first + model.body_jntnum[body]):
            kind = kinds[mujoco.mjtJoint(model.jnt_type[number])]
            free = kind == "free_flyer"
            anchor = np.zeros(3) if free else np.array(model.jnt_pos[number])
            placement = Placement() if free else here @ Placement(np.eye(3), anchor)
            more: dict[str, Any] = {"armature": float(model.dof_armature[model.jnt_dofadr[number]])}
            if kind in ("prismatic", "revolute"):
                more["axis"] = np.array(model.jnt_axis[number])
                if model.jnt_limited[number]:
                    low, high = (float(x) for x in model.jnt_range[number])
                    more["lower"], more["upper"] = (low,), (high,)
            name = model.joint(number).name or f"{model.body(body).name}_joint_{number - first}"
            parent = builder.add(name, kind, parent, placement, **more)
            here = Placement(np.eye(3), -anchor)
        at.append((parent, here))
        builder.link(model.body(body).name or f"body_{body}", parent, here)
        turned = _matrix(model.body_iquat[body])
        own = turned @ np.diag(model.body_inertia[body]) @ turned.T
        inertia = Inertia.about_centre(float(model.body_mass[body]), np.array(model.body_ipos[body]), own)
        builder.attach(parent, here, inertia)
    return builder.robot([float(x) for x in model.opt.gravity])

"""What docs/robot.md says beside the table of operators."""

from __future__ import annotations

from ..markdown import table
from ..ops.rooms import RoomPage

INTRODUCTION = """# Operators for robots

Functions of `anychip.robot` on tensors of any chip, in batches, float32 and float64, differentiable where
the table says so:

```python
from anychip import robot

turned = robot.quat_apply(q, points, order="xyzw")
twist = robot.se3_log(pose, order="wxyz")

arm = robot.load("arm.urdf")                       # or MJCF, by the package mujoco
pose = robot.forward_kinematics(arm, q, ["tool"])  # (..., 1, 4, 4) for q (..., arm.nq)
force = robot.inverse_dynamics(arm, q, v, a)

seconds, jerks = robot.jerk_limited_motion(way, v, a, goal, max_v, max_a, max_jerk)  # as ruckig plans
p, v, a = robot.phase_state(start, v, a, seconds, jerks, time)
```

`help(anychip.robot.quat_apply)` tells shapes and units: metres, radians, kilograms, seconds. The order of a
quaternion's four numbers has no default, as libraries disagree. Operators are formulas of scalars
(`robot/formulas/`): one kernel computes the formula, one its gradients, one its tangents, each generated when
it is first asked for; `jvp`, `jacfwd`, `vjp`, `jacrev` and `vmap` of `torch.func` use these, and a second
derivative raises. For a whole robot the formula is written along its tree, with all that is constant folded.
"""

CONVENTIONS = (
    ("SciPy", "xyzw; `Rotation.as_quat` keeps the sign", '`order="xyzw"`'),
    (
        "Pinocchio",
        "xyzw; twists linear part first; q and v as here",
        '`order="xyzw"`; `reference=` by its names',
    ),
    ("roma, pypose", "xyzw; pypose's poses and twists: translation first", '`order="xyzw"`'),
    (
        "MuJoCo",
        "wxyz; a free joint's linear velocity is in the world's axes",
        '`order="wxyz"`; turn v by the base',
    ),
    ("OpenCV", "rotation vectors; a lens is k1, k2, p1, p2, k3", "the same"),
    ("ruckig", "a time before the start continues the motion backwards", "`phase_state` holds the start"),
)
"""Library, its convention, and how it is said here."""


def _sections() -> list[str]:
    return [
        "",
        "## Conventions of other libraries",
        "",
        "`make test-robot` shows each row by the library. "
        "Rotations are compared, not quaternions: q and -q are one turn, and libraries choose differently. "
        "`integrate` moves a free-flyer along a screw, as Pinocchio does; MuJoCo moves and turns it apart. A "
        "mimic joint of a URDF is a joint of its own here, as Pinocchio reads it by default.",
        "",
        table(("library", "its convention", "here"), CONVENTIONS),
    ]


PAGE = RoomPage(INTRODUCTION, _sections)

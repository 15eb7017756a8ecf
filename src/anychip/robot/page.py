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
    (
        "OpenCV",
        "`NMSBoxesRotated` drops a box within another, however small",
        "`rotated_nms` by shared area by union",
    ),
    ("toppra", "limits of acceleration at both ends of a step", "`path_timing`; `between=False` for one end"),
    ("ruckig", "a time before the start continues the motion backwards", "`phase_state` holds the start"),
)
"""Library, its convention, and how it is said here."""


ON_BOARDS = (
    ("example arm: kinematics and Jacobian", "1,668", "714", "120"),
    ("example arm: inverse dynamics", "2,152", "737", "136"),
    ("example arm: a step of inverse kinematics", "4,180", "1,471", "304"),
    ("Panda, hand: kinematics and Jacobian", "3,580", "1,211", "320"),
    ("Kalman step, 6 states, 3 measurements", "10,352", "2,601", "592"),
    ("MPPI step, 64 samples, horizon 16, one control", "14,648", "3,875, in a loop", "600"),
)
"""Case, bytes of its kernels, instructions in them, bytes of stack: for a Cortex-M4, as `tools.robot.boards`
prints them."""

BESIDE = (
    ("4,096 motions of one joint, f64", "2.64 ms", "ruckig 0.19 by Python, calls included", "5.59 ms"),
    ("100,000 points of a lens undone, f64", "6.79 ms", "OpenCV 5.0, 5 rounds of its fixed point", "9.82 ms"),
)
"""Case, processor time of one call, the other library, its time: one thread of an AMD EPYC (Zen 3), as
`tools.robot.peers` prints them."""


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
        "",
        "## On a board",
        "",
        "One state in float32 as a C library for a Cortex-M4 "
        "(`python -m tools.robot.boards [URDF] --check`), whose results under its emulator "
        "are PyTorch's. Instructions are those of the code, without those of "
        "the functions that it calls.",
        "",
        table(("what", *((word, "right") for word in ("bytes", "instructions", "stack"))), ON_BOARDS),
        "",
        "## Beside other libraries",
        "",
        "Processor time of one call (`python -m tools.robot.peers`, one thread of an AMD EPYC, Zen 3, while "
        "other work ran). [Robots beside other libraries](robot-peers.md) has neighbours in large clouds, "
        "kinematics and dynamics, and errors beside Pinocchio.",
        "",
        table(("what", ("here", "right"), "library", ("there", "right")), BESIDE),
    ]


PAGE = RoomPage(INTRODUCTION, _sections)

"""What docs/robot.md says beside the table of operators."""

from __future__ import annotations

from ..ops.rooms import RoomPage

INTRODUCTION = """# Operators for robots

Functions of `anychip.robot` on tensors of any chip, in batches, float32 and float64, differentiable where the table
says so:

```python
from anychip import robot

turned = robot.quat_apply(q, points, order="xyzw")
twist = robot.se3_log(pose, order="wxyz")
```

`help(anychip.robot.quat_apply)` tells shapes and units: metres, radians, kilograms, seconds. The order of a
quaternion's four numbers has no default, as libraries disagree. Most operators are formulas of scalars
(`robot/formulas/`): one kernel computes the formula, one its gradients, one its tangents, each generated when it is
first asked for; `jvp`, `jacfwd`, `vjp`, `jacrev` and `vmap` of `torch.func` use these, and a second derivative raises.
"""

PAGE = RoomPage(INTRODUCTION)

"""What Pinocchio computes for the two example robots, as a record that tests read where it is not installed.
Run as `python -m tests.robot.record_pinocchio`, with Pinocchio; it writes `recorded/pinocchio.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from anychip.robot.body.examples import ARM, BRANCHED

FILE = Path(__file__).parent / "recorded" / "pinocchio.json"
CASES = {"arm": (ARM, "fixed"), "walker": (BRANCHED, "free_flyer")}


def quantities(model: Any, data: Any, pin: Any, q: Any, v: Any, a: Any) -> dict[str, Any]:
    """Everything of one state."""
    frame = model.getFrameId("tool")
    upper = np.triu(pin.crba(model, data, q))
    pin.framesForwardKinematics(model, data, q)
    found = {
        "pose": data.oMf[frame].homogeneous.copy(),
        "inverse_dynamics": pin.rnea(model, data, q, v, a).copy(),
        "gravity": pin.computeGeneralizedGravity(model, data, q).copy(),
        "mass_matrix": upper + np.triu(upper, 1).T,
        "forward_dynamics": pin.aba(model, data, q, v, a).copy(),
        "centre_of_mass": pin.centerOfMass(model, data, q).copy(),
        "integrate": pin.integrate(model, q, v).copy(),
    }
    for name in ("LOCAL", "WORLD", "LOCAL_WORLD_ALIGNED"):
        found[name] = pin.computeFrameJacobian(model, data, q, frame, getattr(pin, name)).copy()
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def main() -> None:
    """Write the record."""
    import pinocchio as pin

    record: dict[str, Any] = {"pinocchio": pin.__version__, "states": {}}
    generator = np.random.default_rng(0)
    for name, (text, root) in CASES.items():
        free = root == "free_flyer"
        model = (
            pin.buildModelFromXML(text, pin.JointModelFreeFlyer()) if free else pin.buildModelFromXML(text)
        )
        states = []
        for scale in (0.0, 1.0, 3.0):
            q = pin.integrate(model, pin.neutral(model), scale * generator.uniform(-1, 1, model.nv))
            v, a = generator.uniform(-1, 1, (2, model.nv))
            own = quantities(model, model.createData(), pin, q, v, a)
            states.append({"q": q.tolist(), "v": v.tolist(), "a": a.tolist(), **own})
        record["states"][name] = states
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The formulas of real robots beside Pinocchio: the URDF files of the package `example-robot-data`, with a
fixed and with a floating base, in random states. Flows out: the largest error of each quantity, relative to
its largest number, in `evidence/robot-peers.json`. Run as `python -m tools.robot.real_robots`, with the extra
`robot-peers`; `--robots N` looks at the N smallest files alone, and `--skip N` adds to the record what comes
after these."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from anychip import robot
from anychip.robot.body import dynamics, kinematics
from anychip.robot.formulas.derivatives import tangents
from anychip.robot.formulas.graph import Graph, Number, Scalar, needed
from anychip.robot.formulas.lowering import lowered
from anychip.robot.model.description import Robot

from .record import read, update

EPSILON = 2.0**-52
ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "lt": operator.lt,
    "le": operator.le,
    "and": lambda a, b: a and b,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "abs": lambda x: abs(x),
    "atan2": math.atan2,
    "select": lambda condition, a, b: a if condition else b,
}
Build = Callable[..., Sequence[Number]]


def files() -> Iterator[Path]:
    """The URDF files of the installed package, small ones first."""
    listed = importlib.metadata.distribution("example-robot-data").files or []
    found = [Path(str(file.locate())) for file in listed if file.suffix == ".urdf"]
    yield from sorted(found, key=lambda path: path.stat().st_size)


def value(outputs: Sequence[Number], known: Mapping[str, float]) -> np.ndarray:
    """What a formula gives for numbers of its inputs, by name."""
    flat = lowered(outputs)
    found: dict[int, float] = {}

    def of(x: Number) -> float:
        return found[x.number] if isinstance(x, Scalar) else x

    for node in needed(flat):
        if node.op == "input":
            found[node.number] = known[node.label]
        else:
            found[node.number] = ARITHMETIC[node.op](*map(of, node.arguments))
    return np.array([of(x) for x in flat])


def derivative(build: Build, at: Sequence[np.ndarray], along: Sequence[np.ndarray]) -> np.ndarray:
    """The derivative of a formula's numbers at a place along a direction, by the formula of its tangents."""
    graph = Graph()
    names = [[f"{k}.{i}" for i in range(len(x))] for k, x in enumerate(at)]
    given = [[graph.variable(name) for name in each] for each in names]
    directions = {
        node.number: float(way)
        for nodes, ways in zip(given, along, strict=True)
        for node, way in zip(nodes, ways, strict=True)
    }
    outputs = list(build(*given))
    known = {name: float(x) for each, xs in zip(names, at) for name, x in zip(each, xs, strict=True)}
    return value(tangents(outputs, directions), known)


def flat(rows: Sequence[Sequence[Number]]) -> list[Number]:
    """All numbers of a matrix."""
    return [x for row in rows for x in row]


def pairs(r: Robot, model: Any, pin: Any, draw: np.random.Generator) -> dict[str, tuple[Any, Any]]:
    """Each quantity here and there, in a random state."""
    data = model.createData()
    q = pin.integrate(model, pin.neutral(model), draw.uniform(-3, 3, model.nv))
    v, a, way, faster, change = draw.uniform(-1, 1, (5, model.nv))
    plain_q, plain_v, plain_a = (list(map(float, x)) for x in (q, v, a))
    zero = np.zeros(model.nv)
    moved = derivative(lambda x, y: kinematics.integrated(r, x, y), [q, zero], [0 * q, way])
    drifting = derivative(lambda x, y: kinematics.integrated(r, x, y), [q, zero], [0 * q, v])
    last = r.joint_frames()[-1]
    torques = pin.rnea(model, data, q, v, a).copy()
    upper = np.triu(pin.crba(model, data, q))
    mass = upper + np.triu(upper, 1).T
    pin.forwardKinematics(model, data, q)
    poses = np.array([data.oMi[k].homogeneous for k in range(1, model.njoints)])
    pin.computeJointJacobiansTimeVariation(model, data, q, v)
    local = pin.getJointJacobian(model, data, model.njoints - 1, pin.LOCAL).copy()
    varied = pin.getJointJacobianTimeVariation(model, data, model.njoints - 1, pin.WORLD).copy()
    slopes = [np.array(x) for x in pin.computeRNEADerivatives(model, data, q, v, a)]
    slopes[2] = mass
    found = {
        "forward kinematics": (kinematics.poses(r, r.joint_frames(), plain_q), poses),
        "Jacobian": (kinematics.jacobian(r, last, "LOCAL", plain_q), local),
        "Jacobian's time derivative": (
            derivative(lambda x: flat(kinematics.jacobian(r, last, "WORLD", x)), [q], [drifting]),
            varied.ravel(),
        ),
        "inverse dynamics": (dynamics.inverse_dynamics(r, plain_q, plain_v, plain_a), torques),
        "mass matrix": (dynamics.mass_matrix(r, plain_q), mass),
        "gravity": (dynamics.gravity(r, plain_q), pin.computeGeneralizedGravity(model, data, q).copy()),
        "integration": (kinematics.integrated(r, plain_q, plain_v), pin.integrate(model, q, v)),
        "derivatives of inverse dynamics": (
            derivative(
                lambda x, y, z: dynamics.inverse_dynamics(r, x, y, z), [q, v, a], [moved, faster, change]
            ),
            slopes[0] @ way + slopes[1] @ faster + slopes[2] @ change,
        ),
    }
    if r.mass:
        found["centre of mass"] = (
            kinematics.centre_of_mass(r, plain_q),
            pin.centerOfMass(model, data, q).copy(),
        )
    condition = float(np.linalg.cond(mass))
    if condition < 1e12:
        forces = list(map(float, torques))
        mine = np.array(dynamics.forward_dynamics(r, plain_q, plain_v, forces))
        theirs = pin.aba(model, data, q, v, torques).copy()
        found["forward dynamics"] = (mine, theirs)
        # Both against the accelerations that the forces are of: what the condition explains is divided out.
        size = np.linalg.norm
        bound = size(np.linalg.inv(mass), 2) * (
            size(mass, 2) * size(a) + size(torques) + size(torques - mass @ a)
        )
        for name, x in (("", mine), (", Pinocchio's own", theirs)):
            found[f"forward dynamics, in units of its bound{name}"] = (x - a) / (bound * EPSILON), 0 * a
    return found


def error(ours: Any, theirs: Any) -> float:
    """The largest difference, relative to the largest number where that is above 1."""
    mine, others = np.array(ours, dtype=float), np.array(theirs)
    return float(np.abs(mine - others).max(initial=0.0) / max(1.0, np.abs(others).max(initial=0.0)))


def main() -> None:
    """Compare, print each robot, and write the record."""
    parser = argparse.ArgumentParser(description="Formulas of real robots beside Pinocchio.")
    parser.add_argument("--robots", type=int, default=None, help="only so many, small ones first")
    parser.add_argument("--skip", type=int, default=0, help="add to the record, after so many files")
    parser.add_argument("--states", type=int, default=2, help="random states of each robot and base")
    options = parser.parse_args()
    pin = import_module("pinocchio")
    before = read().get("errors", {}) if options.skip else {}
    largest: dict[str, tuple[float, str]] = {row[0]: (row[1], row[2]) for row in before.get("rows", [])}
    seen: list[str] = list(before.get("seen", []))
    for file in list(files())[options.skip : options.robots]:
        for root in ("fixed", "free_flyer"):
            base = [pin.JointModelFreeFlyer()] if root == "free_flyer" else []
            try:
                model = pin.buildModelFromUrdf(str(file), *base)
            except ValueError as refused:
                print(refused)
                continue
            r = robot.load(file, root)
            if not r.nv:
                continue
            seen.append(file.stem)
            draw = np.random.default_rng(0)
            for _ in range(options.states):
                for name, (ours, theirs) in pairs(r, model, pin, draw).items():
                    off = error(ours, theirs)
                    if off >= largest.get(name, (-1.0, ""))[0]:
                        largest[name] = off, f"{file.stem}, {root.replace('_', '-')}"
        print(file.stem, flush=True)
        update(
            "errors",
            {
                "pinocchio": pin.__version__,
                "robots": len(set(seen)),
                "models": len(seen),
                "seen": seen,
                "states": options.states,
                "rows": [[name, float(f"{off:.2g}"), where] for name, (off, where) in largest.items()],
            },
        )


if __name__ == "__main__":
    main()

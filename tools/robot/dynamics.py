"""Kinematics and dynamics of batches beside Pinocchio: nanoseconds of processor time for one state, on one
thread, against its algorithms in a loop in C++ and against its Python calls less an empty one. Flows out:
`evidence/robot-peers.json`. Run as `python -m tools.robot.dynamics URDF...`, with Pinocchio; names such as
`panda.urdf` are looked up in `example-robot-data`."""

from __future__ import annotations

import argparse
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anychip import robot

from .real_robots import files
from .record import read, update

STATES = 4096
LIBRARIES = ("pinocchio_default", "boost_filesystem", "boost_serialization")


def built(folder: Path) -> Path | None:
    """The loop in C++, built against the headers of the installed wheel; None where that fails."""
    prefix = Path(sysconfig.get_path("purelib")) / "cmeel.prefix"
    include = prefix / "include"
    out = folder / "pinocchio_loop"
    command = ["g++", "-std=c++17", "-O3", "-w", "-march=native", "-DNDEBUG"]
    command += [f"-I{path}" for path in (include, include / "eigen3")]
    command += [str(Path(__file__).with_name("pinocchio_loop.cpp")), f"-L{prefix / 'lib'}"]
    command += [f"-l{name}" for name in LIBRARIES] + [f"-Wl,-rpath,{prefix / 'lib'}", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:])
        return None
    return out


def looped(program: Path | None, model: Any, seconds: float) -> dict[str, float]:
    """Nanoseconds of each of Pinocchio's algorithms in the loop."""
    if program is None:
        return {}
    saved = program.with_name("model.txt")
    model.saveToText(str(saved))
    command = [str(program), str(saved), str(STATES), str(seconds)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return {name: float(took) for name, took in (line.split() for line in lines if line)}


def called(call: Callable[[], Any], states: int, seconds: float) -> float:
    """Nanoseconds of processor time for a state, of calls that do so many."""
    call()
    begun, calls = time.process_time(), 0
    while time.process_time() - begun < seconds:
        call()
        calls += 1
    return 1e9 * (time.process_time() - begun) / (calls * states)


def rows(file: Path, program: Path | None, seconds: float) -> list[list[Any]]:
    """For each quantity: nanoseconds here, in the loop and by the Python call."""
    pin = import_module("pinocchio")
    model = pin.buildModelFromUrdf(str(file))
    data, r = model.createData(), robot.load(file)
    draw = np.random.default_rng(0)
    configurations = np.stack(
        [pin.integrate(model, pin.neutral(model), x) for x in draw.uniform(-1, 1, (STATES, model.nv))]
    )
    q, v, a = (torch.tensor(x) for x in (configurations, *draw.uniform(-1, 1, (2, STATES, model.nv))))
    one = [x[0].numpy().copy() for x in (q, v, a)]
    joint = r.joints[-1].name
    loop = looped(program, model, seconds)
    nothing = called(lambda: pin.neutral, 1, seconds / 4)
    cases: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "forward_kinematics": (
            lambda: robot.forward_kinematics(r, q, [joint]),
            lambda: pin.forwardKinematics(model, data, one[0]),
        ),
        "jacobian": (
            lambda: robot.jacobian(r, q, joint, reference="WORLD"),
            lambda: pin.computeJointJacobians(model, data, one[0]),
        ),
        "inverse_dynamics": (
            lambda: robot.inverse_dynamics(r, q, v, a),
            lambda: pin.rnea(model, data, *one),
        ),
        "mass_matrix": (lambda: robot.mass_matrix(r, q), lambda: pin.crba(model, data, one[0])),
        "forward_dynamics": (
            lambda: robot.forward_dynamics(r, q, v, a),
            lambda: pin.aba(model, data, *one),
        ),
    }
    found = []
    for name, (ours, theirs) in cases.items():
        own = called(ours, STATES, seconds)
        other = called(theirs, 1, seconds) - nothing
        found.append([file.stem, name.replace("_", " "), own, loop.get(name), other])
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description="Kinematics and dynamics of batches beside Pinocchio.")
    parser.add_argument("robots", nargs="+", help="URDF files, or their names in example-robot-data")
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time of each case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = {file.name: file for file in files()}
    with tempfile.TemporaryDirectory() as folder:
        program = built(Path(folder))
        for name in options.robots:
            file = known.get(name, Path(name))
            kept = [row for row in read().get("dynamics", {}).get("rows", []) if row[0] != file.stem]
            version = import_module("pinocchio").__version__
            measured = [*kept, *rows(file, program, options.seconds)]
            update("dynamics", {"pinocchio": version, "states": STATES, "rows": measured})


if __name__ == "__main__":
    main()

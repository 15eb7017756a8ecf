"""The record of comparisons with other libraries, `evidence/robot-peers.json`, and its page,
docs/robot-peers.md, which `anychip pages --write robot-peers` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anychip.markdown import numbers, table

RECORD = Path(__file__).parents[2] / "evidence" / "robot-peers.json"

HEAD = """# Robots beside other libraries

Written by `anychip pages --write robot-peers` from `evidence/robot-peers.json`; do not edit. Operators are
those of [`anychip.robot`](robot.md).
"""

ERRORS = """
## Errors beside Pinocchio

`python -m tools.robot.real_robots`: {robots} robots of the package `example-robot-data`, {models} models with
a fixed or a floating base, {states} random state(s) each, in float64, beside Pinocchio {pinocchio}: the
largest difference, relative to the largest number where that is above 1, and the robot that it is of.
Formulas are evaluated as they are folded for each robot; derivatives are along a random direction, by the
formulas of tangents. Accelerations a are found from forces f as far as the mass matrix M lets them be told:
beside those that the forces are of, the difference is the number given times epsilon of float64 times |M^-1|
(|M| |a| + |f| + |f - M a|), here and by Pinocchio.
"""

TIMES = """
## Processor time

`python -m tools.robot.peers --record`: milliseconds of processor time of one call, one thread of an AMD EPYC
(Zen 3), taken in turns, while other work ran, so that ratios vary by half. A tree or grid is built in the
call; small_gicp computes in double precision.
"""

DYNAMICS = """
## Kinematics and dynamics of batches

`python -m tools.robot.dynamics URDF...`: nanoseconds of processor time for one of {states} states, float64,
one thread of an AMD EPYC (Zen 3), beside Pinocchio {pinocchio}: in a loop in C++ (`g++ -O3 -march=native`
against its wheel's headers; empty where that was not built), and its Python call less an empty call. Pose
and Jacobian are those of the last joint here, and those of all joints there.
"""


def read() -> dict[str, Any]:
    """The record so far."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def update(part: str, value: Any) -> None:
    """Write one part of the record anew."""
    record = read()
    record[part] = value
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def written(text: str) -> str:
    """docs/robot-peers.md, of the record."""
    record = read()
    parts = [HEAD.rstrip("\n")]
    if errors := record.get("errors"):
        rows = [
            (name, f"{off:.1e}" if off < 1e-3 else f"{off:.2g}", where) for name, off, where in errors["rows"]
        ]
        parts += [ERRORS.format(**errors), table(("quantity", ("largest", "right"), "of"), rows)]
    if found := record.get("times"):
        cells = [
            (what, f"{own:.1f}", peer, f"{other:.1f}", f"{other / own:.2f}")
            for what, own, peer, other in found
        ]
        parts += [
            TIMES,
            table(("what", ("here", "right"), "library", ("there", "right"), ("ratio", "right")), cells),
        ]
    if dynamics := record.get("dynamics"):
        rows = [
            (
                f"{name}: {quantity}",
                *("" if x is None else f"{x:.0f}" for x in (own, loop, call)),
                _ratio(loop, own),
                _ratio(call, own),
            )
            for name, quantity, own, loop, call in dynamics["rows"]
        ]
        columns = numbers(
            ("robot: quantity", "here", "C++ loop", "Python call", "loop / here", "call / here")
        )
        parts += [DYNAMICS.format(**dynamics), table(columns, rows)]
    return "\n".join(parts) + "\n"


def _ratio(other: float | None, own: float) -> str:
    return "" if other is None else f"{other / own:.2f}"

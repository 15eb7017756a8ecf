"""Records what ruckig takes for motions of one joint, for tests on machines without it. Run as
`python -m tests.robot.record_ruckig` with the extra `robot-peers`."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).parent / "recorded" / "ruckig.json"
Array = NDArray[np.float64]


def motions(count: int, seed: int) -> Array:
    """Arguments of `jerk_limited_motion` (7, count): short and long ways, states that stay within limits."""
    draw = np.random.default_rng(seed)
    fastest, largest, jerk = (
        draw.uniform(0.5, 2, count),
        draw.uniform(0.5, 3, count),
        draw.uniform(1, 20, count),
    )
    a = draw.uniform(-1, 1, count) * largest * (draw.random(count) < 0.7)
    v = draw.uniform(-1, 1, count) * fastest * (draw.random(count) < 0.7)
    outside = np.abs(v + a * np.abs(a) / (2 * jerk)) >= fastest
    v, a = np.where(outside, 0.5 * v, v), np.where(outside, 0.0, a)
    goal = draw.uniform(-1, 1, count) * fastest * (draw.random(count) < 0.5)
    distance = draw.uniform(-1, 1, count) * 10 ** draw.uniform(-4, 1, count)
    return np.stack((distance, v, a, goal, fastest, largest, jerk))


def durations(arguments: Array) -> list[float]:
    """Seconds that ruckig takes for each."""
    import ruckig

    generator, found = ruckig.Ruckig(1), []
    for distance, v, a, goal, fastest, largest, jerk in arguments.T.tolist():
        given = ruckig.InputParameter(1)
        given.current_position, given.current_velocity, given.current_acceleration = [0.0], [v], [a]
        given.target_position, given.target_velocity, given.target_acceleration = [distance], [goal], [0.0]
        given.max_velocity, given.max_acceleration, given.max_jerk = [fastest], [largest], [jerk]
        trajectory = ruckig.Trajectory(1)
        generator.calculate(given, trajectory)
        found.append(trajectory.duration)
    return found


def main() -> None:
    """Write the record."""
    arguments = motions(200, 0)
    record = {
        "ruckig": importlib.metadata.version("ruckig"),
        "arguments": arguments.tolist(),
        "durations": durations(arguments),
    }
    FILE.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

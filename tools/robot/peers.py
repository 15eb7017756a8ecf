"""Operators for robots beside other libraries: processor time of one call on one thread, the mean of
many, taken in turns. Flows out: a table. Run as `python -m tools.robot.peers`, with what is installed of
ruckig, SciPy, fpsample and OpenCV."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch

from anychip import robot

Call = Callable[[], Any]
Case = tuple[str, str, Call, Call]


def motions() -> Iterator[Case]:
    """4,096 motions of one joint."""
    ruckig = import_module("ruckig")

    draw = np.random.default_rng(0)
    count = 4096
    distance, v = draw.uniform(-3, 3, count), draw.uniform(-0.5, 0.5, count)
    given, generator, trajectory = ruckig.InputParameter(1), ruckig.Ruckig(1), ruckig.Trajectory(1)
    given.max_velocity, given.max_acceleration, given.max_jerk = [1.0], [2.0], [10.0]
    given.current_acceleration = given.target_velocity = given.target_acceleration = [0.0]
    given.current_position = [0.0]

    def theirs() -> None:
        for way, speed in zip(distance, v, strict=True):
            given.target_position, given.current_velocity = [way], [speed]
            generator.calculate(given, trajectory)

    limits = [torch.tensor(x, dtype=torch.float64) for x in (0.0, 0.0, 1.0, 2.0, 10.0)]
    ways, speeds = torch.tensor(distance), torch.tensor(v)
    yield (
        "4,096 motions, f64",
        "ruckig in Python",
        lambda: robot.jerk_limited_motion(ways, speeds, *limits),
        theirs,
    )


def clouds() -> Iterator[Case]:
    """Neighbours of points on a surface, as a camera gives them."""
    from scipy.spatial import KDTree

    draw = np.random.default_rng(0)
    flat = draw.uniform(-1, 1, (20_000, 2))
    points = np.concatenate((flat, 0.2 * np.sin(3 * flat[:, :1])), 1)
    cloud = torch.tensor(points, dtype=torch.float32)
    single = points.astype(np.float32)
    yield (
        "16 neighbours of each of 20,000 points, f32",
        "SciPy, tree and queries",
        lambda: robot.nearest_neighbours(cloud, cloud, 16),
        lambda: KDTree(single).query(single, 16),
    )
    yield (
        "points within 0.05 of each of 20,000, f32",
        "SciPy, tree and queries",
        lambda: robot.ball_query(cloud, cloud, 0.05, 32),
        lambda: KDTree(single).query_ball_point(single, 0.05),
    )
    fpsample = import_module("fpsample")

    yield (
        "256 farthest points of 20,000, f32",
        "fpsample",
        lambda: robot.farthest_points(cloud, 256),
        lambda: fpsample.fps_sampling(single, 256, 0),
    )


def lenses() -> Iterator[Case]:
    """Undistorted points of an image."""
    cv2 = import_module("cv2")

    lens = np.array([-0.12, 0.03, 1e-3, -8e-4, -4e-3])
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (100_000, 2))
    shown, coefficients, eye = torch.tensor(points), torch.tensor(lens), np.eye(3)
    yield (
        "100,000 points of a lens undone, f64",
        "OpenCV (5 rounds of its fixed point)",
        lambda: robot.undistort_points(shown, coefficients),
        lambda: cv2.undistortPoints(points[:, None], eye, lens),
    )


def measured(ours: Call, theirs: Call, seconds: float) -> tuple[float, float]:
    """Milliseconds of one call of both, over as many calls as take `seconds` of processor time each: where
    the clock is coarse, one call is too short for it."""
    ours()
    theirs()
    spent, calls = [0.0, 0.0], [0, 0]
    while min(spent) < seconds:
        for place, call in enumerate((ours, theirs)):
            if spent[place] < seconds:
                begun = time.process_time()
                for _ in range(max(1, calls[place])):
                    call()
                    calls[place] += 1
                spent[place] += time.process_time() - begun
    return 1e3 * spent[0] / calls[0], 1e3 * spent[1] / calls[1]


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description="Operators for robots beside other libraries.")
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time of each call")
    parser.add_argument("--only", default="", help="only this family: motions, lenses, clouds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for family in (motions, lenses, clouds):
        if options.only not in family.__name__:
            continue
        try:
            for name, peer, ours, theirs in family():
                own, other = measured(ours, theirs, options.seconds)
                print(f"{name}: {own:.2f} ms, {peer} {other:.2f} ms: {other / own:.2f} times", flush=True)
        except ImportError as missing:
            print(f"{family.__name__}: {missing.name} is not installed")


if __name__ == "__main__":
    main()

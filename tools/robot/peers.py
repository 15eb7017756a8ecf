"""Operators for robots beside other libraries: processor time of one call on one thread, the mean of
many, taken in turns. Flows out: a table. Run as `python -m tools.robot.peers`, with what is installed of
ruckig, SciPy, small_gicp, open3d, fpsample and OpenCV; `--record` keeps the rows in
`evidence/robot-peers.json`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch

from anychip import robot

from .record import read, update

LARGE = 100_000
"""Points of the large clouds."""
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


def _surface(count: int) -> np.ndarray:
    """Points of a surface, as a camera gives them, float32."""
    flat = np.random.default_rng(0).uniform(-1, 1, (count, 2))
    return np.concatenate((flat, 0.2 * np.sin(3 * flat[:, :1])), 1).astype(np.float32)


def _filled(count: int) -> np.ndarray:
    """Points of a cube, float32."""
    return np.random.default_rng(0).uniform(-1, 1, (count, 3)).astype(np.float32)


def _neighbours() -> Iterator[tuple[str, Callable[[np.ndarray], Any]]]:
    """Libraries that find 16 neighbours of all points, as far as they are installed."""
    from scipy.spatial import KDTree

    yield "SciPy's cKDTree", lambda points: KDTree(points).query(points, 16)
    gicp = _installed("small_gicp")
    if gicp:

        def by_gicp(points: np.ndarray) -> Any:
            wide = np.concatenate((points, np.ones_like(points[:, :1])), 1).astype(np.float64)
            return gicp.KdTree(wide[:, :3].copy()).batch_knn_search(wide, 16)

        yield "small_gicp", by_gicp
    open3d = _installed("open3d")
    if open3d:

        def by_open3d(points: np.ndarray) -> Any:
            cloud = open3d.core.Tensor(points)
            search = open3d.core.nns.NearestNeighborSearch(cloud)
            search.knn_index()
            return search.knn_search(cloud, 16)

        yield "open3d", by_open3d


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def neighbours() -> Iterator[Case]:
    """Nearest points of clouds."""
    for shape, points in (("a surface", _surface(LARGE)), ("a cube", _filled(LARGE))):
        cloud = torch.tensor(points)
        for library, call in _neighbours():
            yield (
                f"16 neighbours of each of 100,000 points of {shape}, f32",
                library,
                lambda cloud=cloud: robot.nearest_neighbours(cloud, cloud, 16),
                lambda call=call, points=points: call(points),
            )


def balls() -> Iterator[Case]:
    """Points within a radius."""
    from scipy.spatial import KDTree

    open3d = _installed("open3d")
    for shape, points, radius in (("a surface", _surface(LARGE), 0.02), ("a cube", _filled(LARGE), 0.06)):
        cloud = torch.tensor(points)
        what = f"32 points within a radius of each of 100,000 of {shape}, f32"

        def ours(cloud: torch.Tensor = cloud, radius: float = radius) -> Any:
            return robot.ball_query(cloud, cloud, radius, 32)

        def by_scipy(points: np.ndarray = points, radius: float = radius) -> Any:
            return KDTree(points).query_ball_point(points, radius)

        def by_open3d(points: np.ndarray = points, radius: float = radius) -> Any:
            tensor = open3d.core.Tensor(points)
            search = open3d.core.nns.NearestNeighborSearch(tensor)
            search.hybrid_index(radius)
            return search.hybrid_search(tensor, radius, 32)

        yield what, "SciPy's cKDTree", ours, by_scipy
        if open3d:
            yield what, "open3d", ours, by_open3d


def clouds() -> Iterator[Case]:
    """Farthest points, voxels, a step of registration."""
    points = _surface(LARGE)
    cloud = torch.tensor(points)
    sampled = _installed("fpsample")
    if sampled:
        yield (
            "256 farthest points of 100,000, f32",
            "fpsample",
            lambda: robot.farthest_points(cloud, 256),
            lambda: sampled.fps_sampling(points, 256, 0),
        )
    open3d = _installed("open3d")
    gicp = _installed("small_gicp")
    moved = cloud + torch.tensor([0.01, -0.02, 0.005])
    if gicp:
        wide = np.concatenate((points, np.ones_like(points[:, :1])), 1).astype(np.float64)
        yield (
            "100,000 points thinned to cells of 0.02, f32",
            "small_gicp",
            lambda: robot.voxel_downsample(cloud, 0.02),
            lambda: gicp.voxelgrid_sampling(gicp.PointCloud(wide), 0.02),
        )
    if open3d:
        made = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
        other = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(moved.double().numpy()))
        once = open3d.pipelines.registration.ICPConvergenceCriteria(max_iteration=1)
        yield (
            "256 farthest points of 100,000, f32",
            "open3d",
            lambda: robot.farthest_points(cloud, 256),
            lambda: made.farthest_point_down_sample(256),
        )
        yield (
            "100,000 points thinned to cells of 0.02, f32",
            "open3d",
            lambda: robot.voxel_downsample(cloud, 0.02),
            lambda: made.voxel_down_sample(0.02),
        )
        yield (
            "a step of registration, 100,000 points to 100,000, f32",
            "open3d",
            lambda: robot.icp_step(moved, cloud),
            lambda: open3d.pipelines.registration.registration_icp(other, made, 1.0, criteria=once),
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
    parser.add_argument("--only", default="", help=f"only this family: {', '.join(FAMILIES)}")
    parser.add_argument("--record", action="store_true", help="keep the rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for family in FAMILIES.values():
        if options.only not in family.__name__:
            continue
        try:
            for name, peer, ours, theirs in family():
                own, other = measured(ours, theirs, options.seconds)
                print(f"{name}: {own:.2f} ms, {peer} {other:.2f} ms: {other / own:.2f} times", flush=True)
                if options.record:
                    kept = [row for row in read().get("times", []) if [row[0], row[2]] != [name, peer]]
                    update("times", [*kept, [name, round(own, 3), peer, round(other, 3)]])
        except ImportError as missing:
            print(f"{family.__name__}: {missing.name} is not installed")


FAMILIES = {family.__name__: family for family in (motions, lenses, neighbours, balls, clouds)}

if __name__ == "__main__":
    main()

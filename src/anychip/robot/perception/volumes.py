"""A scene as signed distances in a grid of voxels, fused from images of depth (B. Curless, M. Levoy, A
volumetric method for building complex models from range images, 1996). Flows in: distances and weights of a
grid, an image, the camera and its pose. Flows out: the grid's next distances and weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import Number, add, both, div, minimum, mul, select, sub
from ..formulas.small import apply, plus
from ..registry import register_formulas


def _seen(
    index: Sequence[Number],
    origin: Sequence[Number],
    size: Number,
    pose: Sequence[Sequence[Number]],
    intrinsics: Sequence[Number],
) -> list[object]:
    """Pixel and depth of a voxel's centre."""
    point = [add(at, mul(add(k, 0.5), size)) for at, k in zip(origin, index, strict=True)]
    x, y, z = plus(apply([row[:3] for row in pose[:3]], point), [row[3] for row in pose[:3]])
    fx, fy, cx, cy = intrinsics
    ahead: Number = z > 0.0 if not isinstance(z, float) else float(z > 0.0)
    safe = select(ahead, z, 1.0)
    pixel = [add(mul(fx, div(x, safe)), cx), add(mul(fy, div(y, safe)), cy)]
    return [[select(ahead, p, -10.0) for p in pixel], z]


def _fused(
    distance: Number, weight: Number, depth: Number, z: Number, truncation: Number, known: Number
) -> list[Number]:
    """The next distance, in units of the truncation, and weight."""
    apart = sub(depth, z)
    counts = both(known > 0.0, add(apart, truncation) >= 0.0)  # type: ignore[operator, arg-type]
    near = minimum(div(apart, truncation), 1.0)
    more = add(weight, 1.0)
    mean = div(add(mul(distance, weight), near), more)
    return [select(counts, mean, distance), select(counts, more, weight)]


_SEEN = Formula("tsdf_pixel", _seen, [(3,), (3,), (), (4, 4), (4,)], [(2,), ()])
_FUSED = Formula("tsdf_fuse", _fused, [()] * 6, [(), ()])


def tsdf_integrate(
    distances: torch.Tensor,
    weights: torch.Tensor,
    depth: torch.Tensor,
    intrinsics: torch.Tensor,
    pose: torch.Tensor,
    origin: torch.Tensor,
    size: torch.Tensor,
    truncation: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next distances and weights (..., nx, ny, nz) of grids whose first corner is `origin` (..., 3) in
    the world and whose voxels' edges are `size` (...) metres, after an image of depth (..., h, w) in metres,
    0 or no number where it is unknown, by a camera with intrinsics (..., 4), fx, fy, cx, cy; `pose` (..., 4,
    4) takes the world into its frame. Distances are in units of `truncation` (...) metres, at most 1; what is
    hidden by more than that keeps its own. A voxel looks at the pixel nearest to its centre. Differentiable,
    but for which pixel that is."""
    batch = distances.shape[:-3]
    if (
        distances.dim() < 3
        or weights.shape != distances.shape
        or depth.dim() < 2
        or depth.shape[:-2] != batch
        or pose.shape[-2:] != (4, 4)
    ):
        raise ArgumentError(
            f"tsdf_integrate: distances are {tuple(distances.shape)}, weights {tuple(weights.shape)}, depth "
            f"{tuple(depth.shape)}, pose {tuple(pose.shape)}; give (..., nx, ny, nz) twice, (..., h, w) of "
            f"one batch, and (..., 4, 4)"
        )
    axes = [torch.arange(n, dtype=depth.dtype, device=depth.device) for n in distances.shape[-3:]]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    wide = [x[..., None, None, None] for x in (size, truncation)]
    cameras = pose[..., None, None, None, :, :], intrinsics.detach()[..., None, None, None, :]
    pixel, z = _SEEN(index, origin[..., None, None, None, :], wide[0], *cameras)
    height, width = depth.shape[-2:]
    nearest = torch.floor(pixel.detach() + 0.5)
    u, v = nearest.unbind(-1)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    place = torch.where(inside, v * width + u, 0.0).to(torch.int64).expand(distances.shape)
    found = depth.flatten(-2).gather(-1, place.flatten(-3)).reshape(distances.shape)
    seen = inside & (found > 0)
    # What is no number must not reach the weights.
    found = torch.where(seen, found, torch.zeros((), dtype=depth.dtype, device=depth.device))
    return _FUSED(distances, weights, found, z, wide[1], seen.to(depth.dtype))  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _plain(
    distances: torch.Tensor,
    weights: torch.Tensor,
    depth: torch.Tensor,
    intrinsics: torch.Tensor,
    pose: torch.Tensor,
    origin: torch.Tensor,
    size: torch.Tensor,
    truncation: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One voxel after the other."""
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    kept, counts = [], []
    shape = distances.shape
    for place in torch.cartesian_prod(*(torch.arange(n) for n in shape)):
        i, j, k = (int(x) for x in place)
        d, w = distances[i, j, k], weights[i, j, k]
        x, y, z = pose[:3, :3] @ (origin + (place.to(size.dtype) + 0.5) * size) + pose[:3, 3]
        u = int(torch.floor(fx * x / z + cx + 0.5))
        v = int(torch.floor(fy * y / z + cy + 0.5))
        if z > 0 and 0 <= u < width and 0 <= v < height and depth[v, u] > 0:
            apart = depth[v, u] - z
            if apart >= -truncation:
                d, w = (d * w + (apart / truncation).clamp(max=1.0)) / (w + 1), w + 1
        kept.append(d)
        counts.append(w)
    return torch.stack(kept).reshape(shape), torch.stack(counts).reshape(shape)


def _scenes(dtype: torch.dtype) -> Iterable[Sample]:
    def number(first: float, *more: float) -> torch.Tensor:
        return torch.tensor((first, *more) if more else first, dtype=dtype)

    depth = tensor((7, 8), dtype, 1.7, 2.3)
    depth[0, :3] = 0.0
    grid = tensor((4, 5, 6), dtype, -1.0, 1.0, seed=1), tensor((4, 5, 6), dtype, 0.5, 3.0, seed=2)
    turn = torch.tensor([[0.0, -1, 0, 0.11], [1, 0, 0, -0.07], [0, 0, 1, 0.03], [0, 0, 0, 1]], dtype=dtype)
    camera = number(6.3, 6.1, 3.6, 3.1)
    yield Sample(
        (*grid, depth, camera, turn, number(-0.9, -1.1, 1.3), number(0.37), number(0.43)),
    )
    one = torch.full((1, 1, 1), 0.5, dtype=dtype), torch.full((1, 1, 1), 1.0, dtype=dtype)
    level = torch.eye(4, dtype=dtype)
    deep = torch.full((3, 3), 2.25, dtype=dtype)
    place = number(-0.01, -0.01, 1.99)
    yield Sample((*one, deep, number(1.5, 1.5, 1.1, 1.1), level, place, number(0.02), number(0.5)))


register_formulas("tsdf_integrate", "volume", tsdf_integrate, _plain, _scenes, [_SEEN, _FUSED])

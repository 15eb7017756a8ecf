"""The two sizes at which operators are timed, and tensors of these sizes.

Flows in: a seed, and how many times dearer than an addition an operator is for each element. Flows out:
tensors whose values are the same at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ...ops.registry import Sample


@dataclass(frozen=True, slots=True)
class Size:
    """`rows` by `columns` elements of a matrix, and other shapes with as many elements; `side` of a
    square matrix that is multiplied or factorized."""

    name: str
    rows: int
    columns: int
    images: tuple[int, int, int, int]
    volumes: tuple[int, int, int, int, int]
    side: int

    def matrix(self, cost: int = 1) -> tuple[int, int]:
        """Rows and columns for an operator that is `cost` times as dear as an addition: what is large
        becomes smaller, down to what is small; then both do."""
        least = min(self.rows, SMALL_ELEMENTS // self.columns)
        rows = max(self.rows // cost, least) if cost <= CHEAPENED else max(1, self.rows // cost)
        return rows, self.columns

    def normal(self, cost: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """A matrix of normally distributed values."""
        return normal(*self.matrix(cost), seed=seed).to(dtype)

    def uniform(self, low: float, high: float, cost: int = 1, seed: int = 0) -> torch.Tensor:
        """A matrix of values from [low, high)."""
        return uniform(low, high, *self.matrix(cost), seed=seed)

    def integers(self, low: int, high: int, cost: int = 1, seed: int = 0) -> torch.Tensor:
        """A matrix of 64-bit integers from [low, high)."""
        return integers(low, high, *self.matrix(cost), seed=seed)

    def coins(self, cost: int = 1, seed: int = 0) -> torch.Tensor:
        """A matrix of truth values, half of them true."""
        return integers(0, 2, *self.matrix(cost), seed=seed).bool()

    def line(self, cost: int = 1, seed: int = 0) -> torch.Tensor:
        """The elements of `normal` in a row."""
        return self.normal(cost, seed).flatten()

    def image(self, seed: int = 0, cost: int = 1, scale: int = 1) -> torch.Tensor:
        """Images (batch, channels, height, width); `cost` divides the batch and then the channels, `scale`
        the sides."""
        batch, channels, height, width = self.images
        most = max(1, cost // batch) if cost > batch else 1
        return normal(
            max(1, batch // cost), max(1, channels // most), height // scale, width // scale, seed=seed
        )

    def volume(self, seed: int = 0, cost: int = 1, scale: int = 1) -> torch.Tensor:
        """Volumes (batch, channels, depth, height, width); see `image`."""
        batch, channels, *sides = self.volumes
        most = max(1, cost // batch) if cost > batch else 1
        return normal(
            max(1, batch // cost), max(1, channels // most), *(side // scale for side in sides), seed=seed
        )

    def square(self, divisor: int = 1, seed: int = 0) -> torch.Tensor:
        """A square matrix of normally distributed values."""
        return normal(self.side // divisor, self.side // divisor, seed=seed)

    def positive(self, divisor: int = 1, seed: int = 0) -> torch.Tensor:
        """A positive definite matrix."""
        x = self.square(divisor, seed)
        return x @ x.T / len(x) + torch.eye(len(x))


SMALL_ELEMENTS = 1 << 16
CHEAPENED = 64
"""A cost up to which small stays as it is."""
SMALL = Size("small", 256, 256, (1, 16, 64, 64), (1, 8, 16, 16, 32), 64)
"""Three tensors of 256 KiB fit into a second-level cache of 1 MiB."""
LARGE = Size("large", 4096, 1024, (16, 64, 64, 64), (8, 32, 16, 32, 32), 512)
"""Tensors of 16 MiB."""
SIZES: Mapping[str, Size] = {size.name: size for size in (SMALL, LARGE)}

Table = Mapping[str, Callable[[Size], Sample]]
"""Arguments by overload."""


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normally distributed values."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(low: float, high: float, *shape: int, seed: int = 0) -> torch.Tensor:
    """Values from [low, high)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def integers(low: int, high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """64-bit integers from [low, high)."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def call(*arguments: object, **keywords: object) -> Sample:
    """Arguments as a sample."""
    return Sample(arguments, keywords)

"""Tile sizes by the class of the chip that holds the tensors. Flows in: sizes from an operator's source.
Flows out: those sizes, or the tuned ones of the caller's options."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ...measurements.size_class import NEAR, exponent
from .options import SizeClass, launch_options

ANY: SizeClass = ("", -1)
"""The class of tensors of any dtype and size."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Tile sizes for the two classes of chip: `simt` (GPUs) and `simd` (CPUs, vector cores). Sizes that
    were tuned for the CPU at hand, or ship for its kind, take the place of the latter (see `tuned`)."""

    simt: Mapping[str, int] = field(default_factory=dict)
    simd: Mapping[str, int] = field(default_factory=dict)
    home: str = field(default="", init=False)
    """The module that made the tiles; `tuned.named` takes their name from it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", sys._getframe(2).f_globals["__name__"])

    def on(self, where: torch.Tensor | torch.device) -> Mapping[str, int]:
        """The sizes for the class of chip that a device is, or that holds a tensor; with a tensor, those of
        its dtype and class of sizes."""
        chosen = launch_options()
        tile_class = chosen.tile_class
        if tile_class == "simt":
            return self.simt
        if not tile_class and (where if isinstance(where, torch.device) else where.device).type != "cpu":
            return self.simt
        if chosen.asked is not None:
            chosen.asked(self, class_of(where))
        classes = chosen.tuned.get(self)
        return self.simd if classes is None else _nearest(classes, class_of(where)) or self.simd


def has_vectors(device: torch.device) -> bool:
    """Whether kernels for a device are made for the class of CPUs and vector cores, not for that of GPUs."""
    tile_class = launch_options().tile_class
    return tile_class == "simd" or (not tile_class and device.type == "cpu")


def class_of(where: torch.Tensor | torch.device) -> SizeClass:
    """The class of a tensor; ANY for a device."""
    if isinstance(where, torch.device):
        return ANY
    return str(where.dtype).removeprefix("torch."), exponent(where.numel())


def _nearest(classes: Mapping[SizeClass, Mapping[str, int]], wanted: SizeClass) -> Mapping[str, int] | None:
    """What was found for the class, or for one at most a power of four away, or for any."""
    dtype, size = wanted
    near = [c for c in classes if c[0] == dtype and abs(c[1] - size) <= NEAR]
    return classes[min(near, key=lambda c: abs(c[1] - size))] if near else classes.get(ANY)


def cdiv(count: int, block: int) -> int:
    """How many blocks cover `count` elements (Triton's own goes through what unwraps constants)."""
    return -(-count // block)

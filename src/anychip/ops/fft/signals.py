"""Where the numbers that are transformed lie: real and imaginary parts of lines, with strides."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Signal:
    """Real and imaginary parts (None: zeros, or not wanted) of [outer, length, inner]; element (o, i, s)
    is at o * outer_stride + i * step + s * inner_stride of both."""

    real: torch.Tensor
    imaginary: torch.Tensor | None
    inner: int
    outer_stride: int
    inner_stride: int
    step: int

    @property
    def strides(self) -> tuple[int, int, int]:
        """Strides in the order in which kernels take them."""
        return self.outer_stride, self.inner_stride, self.step


def planar(batch: int, length: int, like: Signal) -> Signal:
    """New memory for `batch` transforms one after the other."""
    parts = torch.empty((2, batch, length), dtype=like.real.dtype, device=like.real.device)
    return Signal(parts[0], parts[1], 1, length, 0, 1)


def planar_like(batch: int, length: int, inner: int, like: torch.Tensor) -> Signal:
    """New memory for `batch` lines as [batch / inner, length, inner], for `like`'s type and device."""
    parts = torch.empty((2, batch * length), dtype=like.dtype, device=like.device)
    return Signal(parts[0], parts[1], inner, length * inner, 1, inner)

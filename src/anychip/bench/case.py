"""A row of a benchmark before it runs: what is computed, by which kernel of ours, by which call of
PyTorch, and how much work that is. The files under `kernels/` make cases; `comparison` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

DTYPE_NAMES = {
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.float64: "f64",
    torch.int8: "i8",
    torch.int32: "i32",
    torch.int64: "i64",
}

SCALE = 1.0
"""Standard deviation of the inputs that `normal` draws."""


@dataclass(frozen=True)
class Work:
    """A case with its data. `ours` and `pytorch` take `arguments` and return fresh results.

    `flops` and `bytes` are what the computation needs at least (bytes: each input read once, each
    output written once). `reference` is given the arguments in float64; None means `pytorch`.
    `compared` picks from a result what is checked. `jax` is the same function of JAX arrays, given the
    modules `jax` and `jax.numpy`. `random` results are not compared element by element: their mean and
    standard deviation are. `terms`: how many products are summed for one result, at most.
    """

    arguments: tuple[Any, ...]
    ours: Callable[..., Any]
    pytorch: Callable[..., Any]
    bytes: float
    flops: float = 0.0
    reference: Callable[..., Any] | None = None
    compared: Callable[[Any], Any] | None = None
    jax: Callable[..., Any] | None = None
    random: bool = False
    terms: int = 1
    agreeing: bool = False
    """An answer that PyTorch's agrees with, but for roundings, is right; another is judged by float64."""
    tolerance: float = 0.0
    """Relative difference that is right besides: PyTorch's own answer is no better."""
    exportable: bool = True
    """Whether the PyTorch call is one that ONNX and Inductor are asked for as well."""


@dataclass(frozen=True)
class Case:
    """A row: `family` is the line of the goals' table that it belongs to."""

    name: str
    family: str
    sizes: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Work]

    @property
    def label(self) -> str:
        """For example `softmax f32 4096x1024`."""
        return f"{self.name} {DTYPE_NAMES[self.dtype]} {'x'.join(map(str, self.sizes))}"


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Normally distributed values, the same at every call."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return (torch.randn(shape, generator=generator) * SCALE).to(dtype)


def integers(high: int, *shape: int, dtype: torch.dtype = torch.int64, seed: int = 0) -> torch.Tensor:
    """Uniform integers in [0, high), the same at every call."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randint(0, high, shape, generator=generator, dtype=torch.int64).to(dtype)


def moved(*tensors: torch.Tensor) -> float:
    """Bytes of the tensors together."""
    return float(sum(t.numel() * t.element_size() for t in tensors))

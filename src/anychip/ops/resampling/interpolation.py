"""upsample_* in every mode, and their backward operators, as linear maps along one axis after another. Here
are PyTorch's rules for their arguments, and their records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..launching import compute_dtype
from ..pooling.average import average_kernel, sums_of_parts
from ..pooling.geometry import deliver, memory_format
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .axis import TILES, axis_kernel, inner_axis_kernel, mapped, nearest_kernel
from .tables import (
    CUBIC,
    LANCZOS,
    LINEAR,
    NEAREST,
    NEAREST_EXACT,
    SMOOTH_CUBIC,
    TRIANGLE,
    Axis,
    transposed_weight_kernel,
    transposed_window_kernel,
    transposed_windows,
    window_kernel,
    windows,
)

# ---- forward, backward ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mode:
    """One upsample operator: its name, how weights are made, its rank, and whether it has align_corners."""

    name: str
    weights: int
    rank: int

    @property
    def aligns(self) -> bool:
        """Whether the operator takes `align_corners`."""
        return self.weights not in (NEAREST, NEAREST_EXACT)

    def axes(
        self, x: torch.Tensor, input_size: Sequence[int], output_size: Sequence[int], rest: Sequence[Any]
    ) -> list[Axis]:
        """The axes' tables, after PyTorch's checks."""
        if len(output_size) != self.rank:
            raise ArgumentError(
                f"{self.name}: It is expected output_size equals to {self.rank}, but got size "
                f"{len(output_size)}"
            )
        if len(input_size) != self.rank + 2 or 0 in input_size[1:]:
            raise ArgumentError(
                f"{self.name}: Expected {self.rank + 2}D non-empty (but for the batch) input, but got "
                f"{list(input_size)}"
            )
        if any(n <= 0 for n in output_size):
            raise ArgumentError(
                f"{self.name}: Input and output sizes should be greater than 0, but got output size "
                f"{list(output_size)}"
            )
        served = ALL if not self.aligns else FLOATING
        if x.dtype not in served:
            raise NotServed(self.name, f"dtype {x.dtype} is not served")
        align = bool(rest[0]) if self.aligns else False
        scales = rest[1:] if self.aligns else rest
        dtype = compute_dtype(x.dtype) if x.dtype.is_floating_point else torch.float32
        return [
            Axis(self.weights, size, count, align, scale, dtype, x.device)
            for size, count, scale in zip(input_size[2:], output_size, scales, strict=True)
        ]

    def forward(self, self_: torch.Tensor, output_size: Sequence[int], *rest: Any) -> torch.Tensor:
        """The resampled images."""
        axes = self.axes(self_, self_.shape, output_size, self._filled(rest))
        return mapped(self_, [windows(axis) for axis in axes], self.name)

    def backward(
        self, grad_output: torch.Tensor, output_size: Sequence[int], input_size: Sequence[int], *rest: Any
    ) -> torch.Tensor:
        """The gradient of the images."""
        axes = self.axes(grad_output, input_size, output_size, self._filled(rest))
        wanted = (*input_size[:2], *output_size)
        if tuple(grad_output.shape) != wanted:
            raise ArgumentError(
                f"{self.name}_backward: Expected grad_output to have the shape {list(wanted)} of the output, "
                f"but got {list(grad_output.shape)}"
            )
        if all(axis.is_repetition for axis in axes) and grad_output.is_floating_point():
            out = torch.empty(tuple(input_size), dtype=grad_output.dtype, device=grad_output.device)
            sums = sums_of_parts(out, grad_output.contiguous(), self.rank, f"{self.name}_backward")
            return sums.contiguous(memory_format=memory_format(grad_output, self.rank))
        tables = [transposed_windows(axis) for axis in axes]
        return mapped(grad_output, tables, f"{self.name}_backward")

    def _filled(self, rest: Sequence[Any]) -> tuple[Any, ...]:
        return (*rest, *(None,) * (self.rank + self.aligns - len(rest)))


MODES = (
    *(Mode(f"upsample_nearest{rank}d", NEAREST, rank) for rank in (1, 2, 3)),
    *(Mode(f"_upsample_nearest_exact{rank}d", NEAREST_EXACT, rank) for rank in (1, 2, 3)),
    Mode("upsample_linear1d", LINEAR, 1),
    Mode("upsample_bilinear2d", LINEAR, 2),
    Mode("upsample_trilinear3d", LINEAR, 3),
    Mode("upsample_bicubic2d", CUBIC, 2),
    Mode("_upsample_bilinear2d_aa", TRIANGLE, 2),
    Mode("_upsample_bicubic2d_aa", SMOOTH_CUBIC, 2),
    Mode("_upsample_lanczos2d_aa", LANCZOS, 2),
)


def _function(method: Any, names: Sequence[str]) -> Any:
    """A method of a mode as an operator's function, which takes keywords and `out`."""

    def resample(*arguments: Any, out: Any = None, **keywords: Any) -> torch.Tensor:
        rest = [keywords[name] for name in names[len(arguments) :] if name in keywords]
        return deliver(method(*arguments, *rest), out)

    return resample


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {1: (2, 3, 7), 2: (1, 3, 5, 8), 3: (1, 2, 3, 4, 5)}
OUTPUTS = {1: ([11], [3], [7]), 2: ([9, 5], [10, 16], [2, 3]), 3: ([5, 3, 7],)}


def _rests(mode: Mode, dtype: torch.dtype) -> Iterable[tuple[Any, ...]]:
    nothing = (None,) * mode.rank
    if not mode.aligns:
        yield nothing
        return
    yield False, *nothing
    if dtype == torch.float32:
        yield True, *nothing


def _samples(mode: Mode) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for size in OUTPUTS[mode.rank][: None if dtype == torch.float32 else 1]:
            for rest in _rests(mode, dtype):
                yield Sample((tensor(SHAPES[mode.rank], dtype), size, *rest))

    return draw


def _gradients(mode: Mode) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape = SHAPES[mode.rank]
        for size in OUTPUTS[mode.rank][: None if dtype == torch.float32 else 1]:
            for rest in _rests(mode, dtype):
                yield Sample((tensor((*shape[:2], *size), dtype), size, shape, *rest))

    return draw


def _image(mode: Mode) -> Any:
    def draw(dtype: torch.dtype) -> Sample:
        rest = next(iter(_rests(mode, dtype)))
        return Sample((tensor((8, 32, 56, 56), dtype), [112, 112], *rest))

    return draw


def _register(mode: Mode) -> None:
    names = ["self", "output_size", *(["align_corners"] if mode.aligns else [])]
    scales = {1: ["scales"], 2: ["scales_h", "scales_w"], 3: ["scales_d", "scales_h", "scales_w"]}[mode.rank]
    backward_names = ["grad_output", "output_size", "input_size", *names[2:], *scales]
    overloads = [Overload(mode.name, _function(mode.forward, [*names, *scales]), _samples(mode))]
    overloads.append(
        Overload(f"{mode.name}_backward", _function(mode.backward, backward_names), _gradients(mode))
    )
    register(
        Operator(
            name=mode.name.lstrip("_"),
            overloads=tuple(overloads),
            kernels=(
                axis_kernel,
                inner_axis_kernel,
                nearest_kernel,
                average_kernel,
                window_kernel,
                transposed_window_kernel,
                transposed_weight_kernel,
            ),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(Benchmark(mode.name, _image(mode)),) if mode.rank == 2 else (),
            tolerance=8.0,
        )
    )


for _mode in MODES:
    _register(_mode)

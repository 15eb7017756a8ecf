"""Windows of pooling as Python sees them: their sizes and places along each dimension, the checks and the
memory formats that all pooling operators have in common, and the tiles that cover a result. A window is
affine in the output's position, or, for adaptive pooling, one of `count` nearly equal parts of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Tiles, cdiv
from ..memory.copy import copy_

TILES = Tiles(simt={"elements": 256, "row": 64}, simd={"elements": 2048, "row": 128})
UNROLLED_TAPS = 27
LARGEST_PHASES = 16

# ---- windows --------------------------------------------------------------------------------------


def spread(values: Sequence[int] | int, rank: int, name: str) -> tuple[int, ...]:
    """One number for every dimension from a list of one or of `rank` numbers, preceded by ones (zeros for
    a padding) up to three."""
    listed = (values,) if isinstance(values, int) else tuple(values)
    if len(listed) not in (1, rank):
        raise ArgumentError(f"{name} must either be a single int, or a tuple of {rank} ints")
    listed = listed * rank if len(listed) == 1 else listed
    return (0 if name == "padding" else 1,) * (3 - rank) + listed


def pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Number of windows along one dimension; with `ceil_mode` the last may reach over the end, but must
    start inside the input or its left padding."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


@dataclass(frozen=True, slots=True)
class Windows:
    """Sizes of the input and of the output, and the windows between them, as three numbers each."""

    size: tuple[int, ...]
    count: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    adaptive: bool

    @property
    def steps(self) -> dict[str, Any]:
        """The steps along rows and columns as constants of a kernel."""
        return {"stride_h": self.stride[1], "stride_w": self.stride[2], "ADAPTIVE": self.adaptive}

    @property
    def has_phases(self) -> bool:
        """Whether a backward kernel can tell a column's windows by its phase: its stride is a small power
        of two."""
        step = self.stride[2]
        return not self.adaptive and step & (step - 1) == 0 and step <= LARGEST_PHASES

    @property
    def dividing(self) -> Windows | None:
        """The same windows of adaptive pooling as ordinary ones, where all are equal and do not overlap."""
        if not all(c and n % c == 0 for n, c in zip(self.size, self.count, strict=True)):
            return None
        part = tuple(n // c for n, c in zip(self.size, self.count, strict=True))
        return Windows(self.size, self.count, part, part, (0, 0, 0), (1, 1, 1), False)

    def volume(self, padded: bool) -> int | None:
        """The number of positions that count in every window; None where windows differ. Those of the
        padding count if `padded`."""
        if self.adaptive:
            return None
        along = zip(self.size, self.count, self.kernel, self.stride, self.padding, strict=True)
        for n, c, k, s, p in along:
            if (p and not padded) or (c - 1) * s - p + k > n + p:
                return None
        return math.prod(self.kernel)

    def longest(self) -> tuple[int, ...]:
        """The largest number of positions in a window."""
        if not self.adaptive:
            return self.kernel
        return tuple(
            max(((o + 1) * n + c - 1) // c - o * n // c for o in range(c)) if c else 1
            for n, c in zip(self.size, self.count, strict=True)
        )

    def reach(self) -> tuple[int, ...]:
        """A window's length with its gaps."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def most(self) -> tuple[int, ...]:
        """The largest number of windows that a position may be in."""
        if not self.adaptive:
            return tuple(-(-r // s) for r, s in zip(self.reach(), self.stride, strict=True))
        return tuple(
            max(((i + 1) * c + n - 1) // n - i * c // n for i in range(n)) if n else 1
            for n, c in zip(self.size, self.count, strict=True)
        )


def regular(
    name: str,
    input: torch.Tensor,
    rank: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> Windows:
    """The windows of ordinary pooling over the last `rank` dimensions, checked as PyTorch checks them."""
    checked_rank(name, input, rank)
    kernel = spread(kernel_size, rank, "kernel_size")
    steps = kernel if isinstance(stride, Sequence) and not len(stride) else spread(stride, rank, "stride")
    padded, gaps = spread(padding, rank, "padding"), spread(dilation, rank, "dilation")
    size = (*(1,) * (3 - rank), *input.shape[-rank:])
    if any(k <= 0 for k in kernel) or any(s <= 0 for s in steps) or any(d <= 0 for d in gaps):
        raise ArgumentError(
            f"{name}: kernel size, stride and dilation should be greater than zero, but got {kernel}, "
            f"{steps} and {gaps}: stride should not be zero"
        )
    if any(p < 0 for p in padded):
        raise ArgumentError(f"{name}: pad must be non-negative, but got pad: {padded}")
    if any(p > (d * (k - 1) + 1) // 2 for p, k, d in zip(padded, kernel, gaps, strict=True)):
        raise ArgumentError(
            f"pad should be at most half of effective kernel size, but got pad={padded}, "
            f"kernel_size={kernel} and dilation={gaps}"
        )
    count = tuple(
        pooled_size(n, k, s, p, d, ceil_mode)
        for n, k, s, p, d in zip(size, kernel, steps, padded, gaps, strict=True)
    )
    if any(c < 1 for c in count):
        raise ArgumentError(
            f"{name}: Given input size: {list(input.shape)}. Calculated output size: {list(count)}. "
            "Output size is too small"
        )
    return Windows(size, count, kernel, steps, padded, gaps, False)


def adaptive(name: str, input: torch.Tensor, rank: int, output_size: Any) -> Windows:
    """The windows of adaptive pooling over the last `rank` dimensions."""
    listed = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
    if len(listed) != rank:
        raise ArgumentError(f"{name}: internal error: output_size.size() must be {rank}")
    if input.ndim not in (rank + 1, rank + 2) or 0 in input.shape[1:]:
        raise ArgumentError(
            f"{name}: expected input to have non-zero size for non-batch dimensions, {rank + 1} or "
            f"{rank + 2} of them, but input has sizes {list(input.shape)}"
        )
    if any(c < 0 for c in listed):
        raise ArgumentError(f"{name}: elements of output_size must be greater than or equal to 0")
    ones = (1,) * (3 - rank)
    none = (1, 1, 1)
    return Windows((*ones, *input.shape[-rank:]), (*ones, *listed), none, none, (0, 0, 0), none, True)


def checked_rank(name: str, input: torch.Tensor, rank: int) -> None:
    """ArgumentError unless the input is one image or a batch of images that have elements."""
    batched = input.ndim == rank + 2
    if input.ndim not in (rank + 1, rank + 2) or 0 in input.shape[1 if batched else 0 :]:
        raise ArgumentError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D tensor with optional 0 dim batch size and non-zero "
            f"other sizes for input, but got: {list(input.shape)}"
        )


# ---- tensors --------------------------------------------------------------------------------------


def memory_format(x: torch.Tensor, rank: int) -> Any:
    """The memory format that a result computed from `x` keeps."""
    if x.ndim == rank + 2 and not x.is_contiguous():
        wanted = {2: torch.channels_last, 3: torch.channels_last_3d}.get(rank)
        if wanted is not None and x.is_contiguous(memory_format=wanted):
            return wanted
    return torch.contiguous_format


def result_for(x: torch.Tensor, rank: int, spatial: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """An empty result with the leading dimensions of `x` and new spatial sizes, in the format of `x`."""
    shape = (*x.shape[:-rank], *spatial[3 - rank :])
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=memory_format(x, rank))


def strides(x: torch.Tensor, rank: int) -> tuple[int, ...]:
    """Strides of images, channels, depth, height and width."""
    steps = x.stride()
    leading = (0,) * (rank + 2 - x.ndim)
    return (*leading, *steps[: x.ndim - rank], *(0,) * (3 - rank), *steps[x.ndim - rank :])


def channels(x: torch.Tensor, rank: int) -> int:
    """The number of channels."""
    return x.shape[-rank - 1]


def blocks(x: torch.Tensor, rank: int, spatial: Sequence[int], margin: int = 0) -> tuple[int, dict[str, int]]:
    """Number of programs that cover the planes of `x` with `spatial` sizes and `margin` columns before them,
    and their tile. Kernels count the elements of one image in 32 bits."""
    if sum((n - 1) * s for n, s in zip(x.shape[-rank:], x.stride()[-rank:], strict=True)) >= 1 << 31:
        raise NotServed("pooling", f"images of {list(x.shape[-rank:])} pixels are not served")
    tiles = TILES.on(x)
    width = spatial[2] + margin
    row = min(max(power_of_two(width), LARGEST_PHASES), tiles["row"])
    height = min(power_of_two(spatial[1]), tiles["elements"] // row)
    planes = math.prod(x.shape[:-rank])
    programs = planes * spatial[0] * cdiv(spatial[1], height) * cdiv(width, row)
    return programs, {"BLOCK_H": height, "BLOCK_W": row}


def deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """The result, in `out` if there is one."""
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)

"""Where a convolution reads: sizes, and for each phase of the output the list of filter taps with the
place that each one reads. A transposed convolution of stride s is s phases of ordinary convolutions, so
one kernel serves both, and both gradients. Pure integer arithmetic, no tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import ArgumentError

Sizes = tuple[int, int, int]
"""Numbers for depth, height and width; fewer spatial dimensions are preceded by ones (or zeros)."""


class Phase(NamedTuple):
    """Output positions `first + step * u` for u in `counts`, along each dimension, which read their
    source at `stride * u + shift` for each tap `(index, shift...)`."""

    first: Sizes
    step: Sizes
    counts: Sizes
    stride: Sizes
    taps: tuple[tuple[int, int, int, int], ...]


def three(values: Sequence[int], filling: int) -> Sizes:
    """The last three of `values`, preceded by `filling` where there are fewer."""
    padded = (filling,) * (3 - len(values)) + tuple(values)
    return padded[0], padded[1], padded[2]


def spread(values: Sequence[int] | int, rank: int, name: str) -> tuple[int, ...]:
    """One number for every spatial dimension from a list of one or of `rank` numbers."""
    listed = (values,) if isinstance(values, int) else tuple(values)
    if len(listed) == 1:
        return listed * rank
    if len(listed) != rank:
        raise ArgumentError(f"convolution: expected {name} of 1 or {rank} numbers, but got {list(listed)}")
    return listed


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Length of the output along one dimension."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def transposed_size(size: int, kernel: int, stride: int, padding: int, dilation: int, extra: int) -> int:
    """Length of the output of a transposed convolution along one dimension."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1


def _number(index: Sequence[int], kernel: Sizes) -> int:
    return (index[0] * kernel[1] + index[1]) * kernel[2] + index[2]


def ordinary(out: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Phase:
    """The one phase of a convolution."""
    taps = tuple(
        (_number(index, kernel), *(index[d] * dilation[d] - padding[d] for d in range(3)))
        for index in itertools.product(*(range(k) for k in kernel))
    )
    return Phase((0, 0, 0), (1, 1, 1), out, stride, taps)  # type: ignore[arg-type]


def transposed(out: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Iterator[Phase]:
    """The phases of a transposed convolution; some may have no taps (their outputs are zero)."""
    for first in itertools.product(*(range(min(s, n)) for s, n in zip(stride, out, strict=True))):
        along = []
        for d in range(3):
            reach = [(r, first[d] + padding[d] - r * dilation[d]) for r in range(kernel[d])]
            along.append([(r, at // stride[d]) for r, at in reach if at % stride[d] == 0])
        taps = tuple(
            (_number([r for r, _ in chosen], kernel), *(shift for _, shift in chosen))
            for chosen in itertools.product(*along)
        )
        counts = tuple(-(-(n - f) // s) for n, f, s in zip(out, first, stride, strict=True))
        yield Phase(first, stride, counts, (1, 1, 1), taps)  # type: ignore[arg-type]

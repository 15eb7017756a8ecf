"""Test arguments for families of operators: shapes that broadcast, step, flip, are empty or 0-d, and
values with NaN and infinities. Records name a generator; tests and conformance runs draw from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from .registry import Benchmark, Sample, Samples
from .schemas import overload_of

SPECIAL = (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0, -1.0, 0.5)
BROADCASTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((17,), (17,)),
    ((5, 7), (7,)),
    ((), ()),
    ((0, 3), (3,)),
)
"""Pairs of shapes for every operator; the machinery's own tests go through many more."""


def tensor(
    shape: Sequence[int],
    dtype: torch.dtype,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """A tensor of `shape` drawn uniformly from [low, high] (small integers, coins for bool)."""
    generator = torch.Generator().manual_seed(seed + 7919 * len(shape) + sum(shape))
    if dtype == torch.bool:
        return torch.rand(tuple(shape), generator=generator) < 0.5
    if not dtype.is_floating_point:
        smallest = 0 if dtype == torch.uint8 else -6
        start = smallest if low is None else max(smallest, int(low))
        stop = 7 if high is None else max(start + 1, int(high))
        return torch.randint(start, stop, tuple(shape), generator=generator, dtype=dtype)
    start = -3.0 if low is None else low
    stop = 3.0 if high is None else high
    drawn = torch.rand(tuple(shape), generator=generator, dtype=torch.float64) * (stop - start) + start
    return drawn.to(dtype)


def special(dtype: torch.dtype) -> torch.Tensor:
    """Zeros of both signs, infinities, NaN and a few ordinary values."""
    return torch.tensor(SPECIAL, dtype=dtype)


def layouts(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """The same values in other layouts: every second element, transposed, flipped in storage order."""
    wide = torch.empty((*x.shape[:-1], 2 * x.shape[-1]), dtype=x.dtype)
    wide[..., ::2] = x
    yield wide[..., ::2]
    if x.ndim >= 2:
        yield x.transpose(0, -1).contiguous().transpose(0, -1)
        yield x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))


def schema_sample(
    overload: str, parameters: tuple[str, ...], tensors: Sequence[torch.Tensor], number: float
) -> Sample:
    """Arguments for an overload of tensors and numbers, read off its schema; what has a default and is
    not in `parameters` is left out, and a flag is False."""
    positional: list[object] = []
    keywords: dict[str, object] = {}
    supply = iter(tensors)
    for argument in overload_of(overload)._schema.arguments:
        if argument.is_out or (argument.name not in parameters and argument.has_default_value()):
            continue
        kind = str(argument.type)
        value = next(supply) if kind == "Tensor" else False if kind == "bool" else number
        if argument.kwarg_only:
            keywords[argument.name] = value
        else:
            positional.append(value)
    return Sample(tuple(positional), keywords)


def tensor_count(overload: str) -> int:
    """How many tensors an overload reads."""
    arguments = overload_of(overload)._schema.arguments
    return sum(str(argument.type) == "Tensor" and not argument.is_out for argument in arguments)


def pointwise_benchmark(
    overload: str, parameters: tuple[str, ...], low: float | None = None, high: float | None = None
) -> Benchmark:
    """4096 x 1024 elements, as the tables of performance are measured with."""

    def draw(dtype: torch.dtype) -> Sample:
        tensors = [tensor((4096, 1024), dtype, low, high, seed=k) for k in range(tensor_count(overload))]
        return schema_sample(overload, parameters, tensors, 0.5 if dtype.is_floating_point else 2)

    return Benchmark(overload, draw)


def pointwise_samples(
    overload: str, parameters: tuple[str, ...], low: float | None = None, high: float | None = None
) -> Samples:
    """Samples for an overload whose arguments are tensors and numbers, read off its schema."""
    count = tensor_count(overload)

    def assemble(tensors: list[torch.Tensor], number: float) -> Sample:
        return schema_sample(overload, parameters, tensors, number)

    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        number: float = 0.5 if dtype.is_floating_point else 2
        if dtype == torch.bool:
            number = True
        for first, second in BROADCASTS:
            shapes = [first, *([second] * (count - 1))]
            yield assemble([tensor(s, dtype, low, high, seed=k) for k, s in enumerate(shapes)], number)
        base = [tensor((3, 4, 5), dtype, low, high, seed=k) for k in range(count)]
        yield assemble([next(layouts(base[0])), *base[1:]], number)
        if dtype.is_floating_point and low is None and high is None:
            yield assemble([special(dtype), *(special(dtype).flip(0) for _ in range(count - 1))], number)

    return draw


def reduction_samples(whole: bool = False, single: bool = False, empty: bool = True) -> Samples:
    """Samples `(tensor, dims, keepdim)` for a reduction; only `(tensor,)` if `whole`, and one dimension
    as a number if `single`. `empty` adds reductions of nothing."""

    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        cases: list[tuple[torch.Tensor, list[int]]] = [
            (tensor((33,), dtype), [0]),
            (tensor((5, 7), dtype), [1]),
            (tensor((5, 7), dtype), [0]),
            (tensor((2, 3, 4, 5), dtype), [-2]),
            (tensor((6, 4), dtype).t(), [0]),
            (tensor((3, 300), dtype)[:, ::2], [1]),
            (tensor((1, 1), dtype), [0]),
        ]
        if dtype.is_floating_point:
            cases.append((special(dtype).reshape(2, 4), [0]))
        if empty:
            cases += [(tensor((3, 0), dtype), [1]), (tensor((0, 3), dtype), [1])]
        if not single:
            cases += [
                (tensor((2, 3, 4), dtype), [0, 2]),
                (tensor((2, 3, 2, 3, 2), dtype), [0, 2, 4]),
                (tensor((2, 3, 4, 5), dtype).permute(2, 0, 3, 1), [0, 1]),
            ]
        for x, dims in cases:
            if whole:
                yield Sample((x,))
            else:
                yield Sample((x, dims[0] if single else dims))
                yield Sample((x, dims[0] if single else dims, True))
        if whole:
            yield Sample((tensor((), dtype),))

    return draw


def sparingly(draw: Samples) -> Samples:
    """All of `draw`'s samples in single precision and for 64-bit integers, the first two for other types:
    for families whose kernels differ between types in loads and stores alone."""

    def drawn(dtype: torch.dtype) -> Iterable[Sample]:
        return islice(draw(dtype), None if dtype in (torch.float32, torch.int64) else 2)

    return drawn

"""PyTorch's transforms: _fft_c2c, _fft_r2c and _fft_c2r over any dimensions, lengths and norms. Complex
tensors are read and written through their real views."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .bluestein import gather_kernel, multiply_kernel, spread_kernel, transform_by_chirp
from .halves import halves, pairs_kernel, signal, spectrum, spectrum_kernel
from .lines import divided, lines_kernel, transform_divided, transform_lines, worthwhile
from .signals import Signal
from .stages import TILES, radices, stage_kernel, transform

REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}
COMPLEX = {real: made for made, real in REAL.items()}
NONE, BY_ROOT, BY_LENGTH = 0, 1, 2

# ---- forward --------------------------------------------------------------------------------------


def _signal(x: torch.Tensor, dim: int) -> Signal:
    """A contiguous tensor, real or complex, as signals along `dim`."""
    inner = math.prod(x.shape[dim + 1 :])
    if not x.is_complex():
        return Signal(x, None, inner, x.shape[dim] * inner, 1, inner)
    parts = torch.view_as_real(x)
    return Signal(parts[..., 0], parts[..., 1], inner, 2 * x.shape[dim] * inner, 2, 2 * inner)


def _along(
    out: torch.Tensor, source: torch.Tensor, dim: int, length: int, direction: int, scale: float
) -> torch.Tensor:
    """Transform contiguous `source` along one dimension into contiguous `out`."""
    batch = math.prod(out.shape) // max(out.shape[dim], 1)
    if not out.numel():
        return out
    stop = out.shape[dim]
    target, given = _signal(out, dim), _signal(source, dim)
    inner = target.inner
    if not out.is_complex() and halves(length, batch, inner):
        signal(out, given, batch, length, scale)
    elif not source.is_complex() and halves(length, batch, inner):
        spectrum(target, source, batch, length, scale, stop)
    elif out.is_complex() and stop == length and worthwhile(length, batch):
        transform_lines(target, given, batch, length, direction, scale)
    elif out.is_complex() and stop == length and inner == 1 and divided(length) is not None:
        transform_divided(target, given, batch, length, direction, scale)
    else:
        hermitian = not out.is_complex()
        by_stages = transform_by_chirp if radices(length) is None else transform
        by_stages(target, given, batch, length, direction, scale, hermitian, stop)
    return out


def _factor(normalization: int, count: int) -> float:
    if normalization == NONE or not count:
        return 1.0
    return 1 / count if normalization == BY_LENGTH else 1 / math.sqrt(count)


def _dims(operator: str, dim: Sequence[int], rank: int) -> list[int]:
    listed = [d % rank for d in dim]
    if len(set(listed)) != len(listed):
        raise ArgumentError(f"{operator}: dims must be unique, but they are {list(dim)}")
    return listed


def _given(result: torch.Tensor, out: Any) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def transform_complex(
    source: torch.Tensor, dims: Sequence[int], direction: int, scale: float
) -> torch.Tensor:
    """`scale` times the transform over different, not negative `dims`, of complex64 or complex128."""
    current = source.contiguous()
    for number, d in enumerate(reversed(dims)):
        result = torch.empty(source.shape, dtype=source.dtype, device=source.device)
        last = number == len(dims) - 1
        current = _along(result, current, d, source.shape[d], direction, scale if last else 1.0)
    return current


def transform_half(
    source: torch.Tensor, dims: Sequence[int], scale: float, onesided: bool = True
) -> torch.Tensor:
    """`scale` times the transform forward of float32 or float64; along the last of `dims` its first half, if
    `onesided`."""
    shape = list(source.shape)
    length = shape[dims[-1]]
    if onesided:
        shape[dims[-1]] = length // 2 + 1
    result = torch.empty(shape, dtype=COMPLEX[source.dtype], device=source.device)
    _along(result, source.contiguous(), dims[-1], length, -1, scale if len(dims) == 1 else 1.0)
    return transform_complex(result, dims[:-1], -1, scale) if len(dims) > 1 else result


def transform_real(source: torch.Tensor, dims: Sequence[int], length: int, scale: float) -> torch.Tensor:
    """`scale` times the transform backward, real and of `length` along the last of `dims`, of what is half a
    spectrum there."""
    shape = list(source.shape)
    shape[dims[-1]] = length
    current = transform_complex(source, dims[:-1], 1, 1.0)
    result = torch.empty(shape, dtype=REAL[source.dtype], device=source.device)
    return _along(result, current, dims[-1], length, 1, scale)


def fft_c2c(
    self: torch.Tensor, dim: Sequence[int], normalization: int, forward: bool, *, out: Any = None
) -> torch.Tensor:
    """Complex to complex over `dim`, with exp(-i...) if `forward`."""
    if self.dtype not in REAL:
        raise NotServed("_fft_c2c", f"dtype {self.dtype} is not served")
    dims = _dims("_fft_c2c", dim, self.ndim)
    scale = _factor(normalization, math.prod(self.shape[d] for d in dims))
    result = transform_complex(self, dims, -1 if forward else 1, scale)
    return _given(result if dims else result.clone(), out)


def fft_r2c(
    self: torch.Tensor, dim: Sequence[int], normalization: int, onesided: bool, *, out: Any = None
) -> torch.Tensor:
    """Real to complex over `dim`; along its last only the first half is given if `onesided`."""
    if self.dtype not in COMPLEX:
        raise NotServed("_fft_r2c", f"dtype {self.dtype} is not served")
    dims = _dims("_fft_r2c", dim, self.ndim)
    scale = _factor(normalization, math.prod(self.shape[d] for d in dims))
    return _given(transform_half(self, dims, scale, onesided), out)


def fft_c2r(
    self: torch.Tensor, dim: Sequence[int], normalization: int, last_dim_size: int, *, out: Any = None
) -> torch.Tensor:
    """The real signal of which self is half a spectrum along the last of `dim`."""
    if self.dtype not in REAL:
        raise NotServed("_fft_c2r", f"dtype {self.dtype} is not served")
    dims = _dims("_fft_c2r", dim, self.ndim)
    scale = _factor(normalization, last_dim_size * math.prod(self.shape[d] for d in dims[:-1]))
    return _given(transform_real(self, dims, last_dim_size, scale), out)


# ---- record ---------------------------------------------------------------------------------------


def complex_tensor(shape: Sequence[int], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """A complex tensor with parts of `dtype`."""
    return torch.complex(tensor(shape, dtype, -1, 1, seed), tensor(shape, dtype, -1, 1, seed + 1))


def _complex_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for length in (1, 2, 3, 15, 16, 60, 64, 100, 97, 1024, 2310):
        yield Sample((complex_tensor((3, length), dtype), [1], NONE, True))
    for normalization in (NONE, BY_ROOT, BY_LENGTH):
        yield Sample((complex_tensor((4, 6, 70), dtype), [0, 2], normalization, False))
    yield Sample((complex_tensor((70, 5), dtype).mT, [1], NONE, True))
    yield Sample((complex_tensor((2, 131, 3), dtype), [1], NONE, False))


def _real_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for length in (1, 2, 7, 16, 90, 97, 512):
        for onesided in (True, False):
            yield Sample((tensor((3, length), dtype, -1, 1), [1], BY_ROOT, onesided))
    yield Sample((tensor((4, 6, 70), dtype, -1, 1), [0, 1, 2], BY_LENGTH, True))
    yield Sample((tensor((4, 6, 70), dtype, -1, 1), [2, 1], NONE, True))


def _half_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for length in (1, 2, 7, 16, 90, 97, 512):
        yield Sample((complex_tensor((3, length // 2 + 1), dtype), [1], BY_LENGTH, length))
    yield Sample((complex_tensor((4, 6, 36), dtype), [0, 1, 2], BY_ROOT, 70))
    yield Sample((complex_tensor((4, 36, 6), dtype), [2, 1], NONE, 71))


def _oracle(overload: Any) -> Any:
    """PyTorch's transform of complex arguments in double precision."""

    def wide(self: torch.Tensor, *arguments: Any) -> torch.Tensor:
        return overload(self.to(torch.complex128) if self.is_complex() else self, *arguments)

    return wide


_aten = torch.ops.aten
_c2c, _c2r = _oracle(_aten._fft_c2c), _oracle(_aten._fft_c2r)
register(
    Operator(
        name="fft",
        overloads=(
            Overload("_fft_c2c", fft_c2c, _complex_samples, reference=_c2c),
            Overload("_fft_r2c", fft_r2c, _real_samples),
            Overload("_fft_c2r", fft_c2r, _half_samples, reference=_c2r),
        ),
        kernels=(
            lines_kernel,
            spectrum_kernel,
            pairs_kernel,
            stage_kernel,
            spread_kernel,
            multiply_kernel,
            gather_kernel,
        ),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "_fft_c2c", lambda dtype: Sample((complex_tensor((512, 1024), dtype), [1], NONE, True))
            ),
            Benchmark("_fft_r2c", lambda dtype: Sample((tensor((256, 4096), dtype), [1], NONE, True))),
        ),
        tolerance=8.0,
    )
)

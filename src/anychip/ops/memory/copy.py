"""copy_, fill_, zero_, and concatenation: memory is moved and converted, nothing else. clone,
contiguous and `to` reach copy_ through PyTorch's own definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import TRANSFER, ArgumentError, NotServed
from ..launching import EIGHT_BIT_FLOATS
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def same(x):
    """The value itself; the machinery around it converts and strides."""
    return x


@triton.jit
def negative(x):
    """The value with the other sign: imaginary parts of a tensor that PyTorch only marks as conjugate."""
    return -x


@triton.jit
def single(x):
    """The value in f32, by which PyTorch converts to and from 8-bit floats."""
    return x.to(tl.float32)


@triton.jit
def of_e4m3fn(code):
    """The f32 values of bytes that hold float8_e4m3fn."""
    return code.to(tl.float8e4nv, bitcast=True).to(tl.float32)


@triton.jit
def of_e5m2(code):
    """The f32 values of bytes that hold float8_e5m2."""
    return code.to(tl.float8e5, bitcast=True).to(tl.float32)


@triton.jit
def of_e4m3fnuz(code):
    """The f32 values of bytes that hold float8_e4m3fnuz."""
    return code.to(tl.float8e4b8, bitcast=True).to(tl.float32)


@triton.jit
def of_e5m2fnuz(code):
    """The f32 values of bytes that hold float8_e5m2fnuz."""
    return code.to(tl.float8e5b16, bitcast=True).to(tl.float32)


COPY = Pointwise(same, raw=1, converts=True)
NEGATIVE_COPY = Pointwise(negative, raw=1, converts=True)
FROM_SINGLE = Pointwise(single, raw=1, converts=True, eight_bits=True)
FROM_EIGHT_BITS = {
    dtype: Pointwise(function, raw=1, converts=True, eight_bits=True)
    for dtype, function in (
        (torch.float8_e4m3fn, of_e4m3fn),
        (torch.float8_e5m2, of_e5m2),
        (torch.float8_e4m3fnuz, of_e4m3fnuz),
        (torch.float8_e5m2fnuz, of_e5m2fnuz),
    )
}

# ---- forward --------------------------------------------------------------------------------------


def copy_(self: torch.Tensor, src: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Write `src`, broadcast and converted, into self."""
    if src.device != self.device:
        raise NotServed("copy_", TRANSFER)
    if self is src:
        return self
    if self.is_complex() or src.is_complex():
        return _copy_complex(self, src.expand(self.shape))
    if self.dtype in EIGHT_BIT_FLOATS or src.dtype in EIGHT_BIT_FLOATS:
        return _copy_eight_bits(self, src.expand(self.shape))
    if self.is_neg() != src.is_neg():
        NEGATIVE_COPY(_unmarked(src).expand(self.shape), out=_unmarked(self))
        return self
    COPY(_unmarked(src).expand(self.shape), out=_unmarked(self))
    return self


def dense(x: torch.Tensor) -> torch.Tensor:
    """`x` itself if it is contiguous, else a contiguous copy, by our launch whoever else copies tensors."""
    return x if x.is_contiguous() else copy_(torch.empty(x.shape, dtype=x.dtype, device=x.device), x)


def _unmarked(x: torch.Tensor) -> torch.Tensor:
    """The values as they are in memory, without the mark that they mean their negatives."""
    return x._neg_view() if x.is_neg() else x


def _parts(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and imaginary parts in memory; a mark that the tensor is conjugate is not looked at."""
    parts = torch.view_as_real(x.conj() if x.is_conj() else x)
    return parts[..., 0], parts[..., 1]


def _copy_complex(self: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
    """`copy_` where one of the two is complex: parts are copied, and missing ones are zero."""
    if torch.complex32 in (self.dtype, src.dtype):
        raise NotServed("copy_", "dtype torch.complex32 is not served")
    if not src.is_complex():
        real, imaginary = _parts(self)
        COPY(src, out=real)
        COPY(0, out=imaginary)
        return self
    source_real, source_imaginary = _parts(src)
    if not self.is_complex():
        return copy_(self, source_real)
    real, imaginary = _parts(self)
    opposite = self.is_conj() != src.is_conj()
    COPY(source_real, out=real)
    (NEGATIVE_COPY if opposite else COPY)(source_imaginary, out=imaginary)
    return self


def _copy_eight_bits(self: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
    """`copy_` of 8-bit floats, with the overflow of PyTorch's own conversions."""
    if self.dtype == src.dtype:
        COPY(src.view(torch.uint8), out=self.view(torch.uint8))
    elif self.device.type != "cpu":
        raise NotServed("copy_", f"a GPU's overflow from {src.dtype} to {self.dtype} is not PyTorch's")
    elif src.dtype in FROM_EIGHT_BITS:
        FROM_EIGHT_BITS[src.dtype](src.view(torch.uint8), out=self)
    else:
        FROM_SINGLE(src.resolve_neg(), out=self)
    return self


def fill_(self: torch.Tensor, value: Any) -> torch.Tensor:
    """Write a number, or a 0-d tensor, into every element."""
    if isinstance(value, torch.Tensor):
        if value.ndim:
            raise ArgumentError(
                f"fill_ only supports 0-dimension value tensor but got {value.ndim} dimensions."
            )
        return copy_(self, value.to(self.device))
    if self.is_complex():
        real, imaginary = _parts(self)
        number = complex(value)
        COPY(number.real, out=real)
        COPY(-number.imag if self.is_conj() else number.imag, out=imaginary)
        return self
    if isinstance(value, float) and not self.dtype.is_floating_point and self.dtype != torch.bool:
        value = int(value)
    return COPY(value, out=self)


def zero_(self: torch.Tensor) -> torch.Tensor:
    """Write zeros."""
    if self.dtype in EIGHT_BIT_FLOATS:
        self = self.view(torch.uint8)
    return fill_(self, 0)


def cat(tensors: Sequence[torch.Tensor], dim: int = 0, *, out: Any = None) -> torch.Tensor:
    """Tensors one after another along `dim`; legacy empty 1-d tensors are skipped."""
    listed = [x for x in tensors if x.ndim != 1 or x.shape[0] != 0] or list(tensors[:1])
    if not listed:
        raise ArgumentError("torch.cat(): expected a non-empty list of Tensors")
    first = listed[0]
    dim = dim % max(first.ndim, 1)
    for x in listed:
        if (
            x.ndim != first.ndim
            or x.shape[:dim] != first.shape[:dim]
            or x.shape[dim + 1 :] != first.shape[dim + 1 :]
        ):
            raise ArgumentError(
                f"Sizes of tensors must match except in dimension {dim}. "
                f"Got {list(first.shape)} and {list(x.shape)}"
            )
    dtype = first.dtype
    for x in tensors:
        dtype = torch.promote_types(dtype, x.dtype)
    shape = list(first.shape)
    shape[dim] = sum(x.shape[dim] for x in listed)
    if out is None:
        out = torch.empty(shape, dtype=dtype, device=first.device)
    elif list(out.shape) != shape:
        out.resize_(shape)
    start = 0
    for x in listed:
        COPY(x, out=out.narrow(dim, start, x.shape[dim]))
        start += x.shape[dim]
    return out


# ---- record ---------------------------------------------------------------------------------------


def _copies(dtype: torch.dtype) -> Iterable[Sample]:
    for source in ALL:
        yield Sample((torch.zeros((3, 4), dtype=dtype), tensor((4,), source, 0, 5)))
    for moved in layouts(tensor((3, 4, 5), dtype)):
        yield Sample((torch.zeros((3, 4, 5), dtype=dtype), moved))
    yield Sample((torch.zeros((0,), dtype=dtype), tensor((0,), dtype)))
    yield Sample((torch.zeros((2, 33, 40), dtype=dtype).transpose(1, 2), tensor((2, 40, 33), dtype)))


def _fills(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((), (5,), (3, 4), (0,)):
        yield Sample((tensor(shape, dtype), 1))
    yield Sample((tensor((6, 4), dtype).t()[::2], 1))


def _zeros(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(sample.arguments[:1]) for sample in _fills(dtype))


def _cats(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = tensor((2, 3), dtype), tensor((2, 4), dtype, seed=1)
    yield Sample(([a, b, a], 1))
    yield Sample(([a.t(), b.t()], 0))
    yield Sample(([a, torch.empty((0,), dtype=dtype)], 0))
    yield Sample(([tensor((5,), dtype), tensor((3,), torch.float32)],))


def _transposed(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), tensor((1024, 4096), dtype).t()))


for _overload in (
    Overload("copy_", copy_, _copies, takes_out=False),
    Overload("fill_.Scalar", fill_, _fills, takes_out=False),
    Overload("zero_", zero_, _zeros, takes_out=False),
    Overload("cat", cat, _cats),
):
    register(
        Operator(
            name=_overload.name.partition(".")[0].rstrip("_"),
            overloads=(_overload,)
            if _overload.name != "fill_.Scalar"
            else (_overload, Overload("fill_.Tensor", fill_, takes_out=False)),
            kernels=(flat_kernel, tiled_kernel),
            dtypes=ALL,
            tiles=TILES,
            benchmarks=(Benchmark("copy_", _transposed),) if _overload.name == "copy_" else (),
        )
    )

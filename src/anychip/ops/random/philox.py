"""Random numbers: uniform_, normal_, bernoulli_, random_, exponential_ and dropout. The numbers come
from the Philox counter generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)
keyed by one draw from PyTorch's generator, so that torch.manual_seed makes them repeatable; the
sequence is not that of PyTorch's CPU generator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError, NotServed
from ..launch import Tiles, cdiv, launch, scalar_bits
from ..pointwise import Pointwise, store_as
from ..registry import FLOATING, INTEGRAL, Operator, Overload, Sample, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def number(bits):
    """A double handed over as 64 bits."""
    return bits.to(tl.int64).to(tl.float64, bitcast=True)


@triton.jit(do_not_specialize=["seed", "low", "high"])
def random_kernel(
    out, n, seed: tl.int64, low: tl.int64, high: tl.int64, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    """Fill a contiguous `out` with numbers of one kind: uniform in [low, high), normal with mean low
    and deviation high, exponential with rate low, coins that show one with probability low, or
    integers in [low, low + high)."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    offset = first + lane
    key = seed.to(tl.int64)
    if KIND == "integers":
        upper, lower, _, _ = tl.randint4x(key, offset)
        wide = (upper.to(tl.uint32).to(tl.uint64) << 32) | lower.to(tl.uint32).to(tl.uint64)
        value = low.to(tl.int64) + (wide % high.to(tl.int64).to(tl.uint64)).to(tl.int64)
    elif KIND == "normal":
        value = tl.randn(key, offset) * number(high).to(tl.float32) + number(low).to(tl.float32)
    else:
        value = tl.rand(key, offset)
        if KIND == "uniform":
            bottom = number(low).to(tl.float32)
            top = number(high).to(tl.float32)
            value = value * (top - bottom) + bottom
            value = tl.where(value >= top, bottom, value)
        elif KIND == "exponential":
            value = -tl.log(1.0 - value) / number(low).to(tl.float32)
        else:
            value = (value < number(low).to(tl.float32)).to(tl.float32)
    store_as(out + offset, value, lane < n - first)


@triton.jit
def kept(x, mask, scale):
    """An element that survives dropout, scaled up; zero otherwise."""
    return tl.where(mask, x * scale, 0.0)


KEPT = Pointwise(kept, raw=2)

# ---- forward, backward ----------------------------------------------------------------------------

HOST_DRAW = torch.library.get_kernel("aten::random_.from", "CPU")
"""PyTorch's own kernel, taken before ours is put in its place; one number is drawn from it, on the host."""
HOST_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)


def drawn_seed(generator: torch.Generator | None) -> int:
    """A 62-bit key drawn from PyTorch's generator."""
    holder = torch.empty((), dtype=torch.int64)
    HOST_DRAW.call_boxed(HOST_KEYS, holder, 0, 1 << 62, generator=generator)
    return int(holder)


def _fill(self: torch.Tensor, kind: str, low: int, high: int, generator: Any) -> torch.Tensor:
    if self.dtype not in (*FLOATING, *INTEGRAL, torch.bool):
        raise NotServed(f"{kind} random numbers", f"dtype {self.dtype} is not served")
    if generator is not None and generator.device.type != "cpu":
        raise NotServed(f"{kind} random numbers", f"a generator on {generator.device} is not served")
    count = self.numel()
    if count == 0:
        return self
    dense = self.is_contiguous()
    target = self if dense else torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = TILES.on(self.device)["block"]
    launch(
        random_kernel, cdiv(count, block), target, count, drawn_seed(generator), low, high,
        label=kind, KIND=kind, BLOCK=block,
    )  # fmt: skip
    return self if dense else self.copy_(target)


def uniform_(
    self: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    """Uniform in [low, high), with 24 random bits."""
    if low > high:
        raise ArgumentError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    return _fill(self, "uniform", scalar_bits(low, True), scalar_bits(high, True), generator)


def normal_(
    self: torch.Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    """Normal, by the Box-Muller transform."""
    if std < 0:
        raise ArgumentError(f"normal expects std >= 0.0, but found std {std}")
    return _fill(self, "normal", scalar_bits(mean, True), scalar_bits(std, True), generator)


def exponential_(self: torch.Tensor, lambd: float = 1.0, *, generator: Any = None) -> torch.Tensor:
    """Exponential with rate `lambd`, by inversion."""
    if lambd <= 0:
        raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(self, "exponential", scalar_bits(lambd, True), 0, generator)


def bernoulli_(self: torch.Tensor, p: float = 0.5, *, generator: Any = None) -> torch.Tensor:
    """One with probability p, else zero."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(self, "bernoulli", scalar_bits(p, True), 0, generator)


def random_from(self: torch.Tensor, low: int, high: int | None, *, generator: Any = None) -> torch.Tensor:
    """Integers in [low, high)."""
    limit = (1 << 62) if high is None else high
    if low >= limit:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={limit}")
    return _fill(self, "integers", low, limit - low, generator)


def random_to(self: torch.Tensor, high: int, *, generator: Any = None) -> torch.Tensor:
    """Integers in [0, high)."""
    return random_from(self, 0, high, generator=generator)


def native_dropout(input: torch.Tensor, p: float, train: bool | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(input with elements zeroed with probability p and the rest scaled by 1/(1-p), kept mask)."""
    mask = torch.empty(input.shape, dtype=torch.bool, device=input.device)
    if train is False or p == 0:
        return input.clone(), mask.fill_(True)
    bernoulli_(mask, 1 - p)
    return KEPT(input, mask, 0.0 if p == 1 else 1 / (1 - p)), mask


def native_dropout_backward(grad_output: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """Gradient of dropout: the kept elements, scaled."""
    return mul(mul(grad_output, mask), scale)


# ---- record ---------------------------------------------------------------------------------------


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    from ..samples import tensor

    yield Sample((tensor((3, 5), dtype), tensor((3, 5), torch.bool), 1.25))


for _name, _overloads, _dtypes in (
    ("uniform", (Overload("uniform_", uniform_, takes_out=False),), FLOATING),
    ("normal", (Overload("normal_", normal_, takes_out=False),), FLOATING),
    ("exponential", (Overload("exponential_", exponential_, takes_out=False),), FLOATING),
    ("bernoulli", (Overload("bernoulli_.float", bernoulli_, takes_out=False),), FLOATING),
    (
        "random",
        (
            Overload("random_.from", random_from, takes_out=False),
            Overload("random_.to", random_to, takes_out=False),
        ),
        INTEGRAL,
    ),
    (
        "dropout",
        (
            Overload("native_dropout", native_dropout, takes_out=False),
            Overload("native_dropout_backward", native_dropout_backward, _gradients, takes_out=False),
        ),
        FLOATING,
    ),
):
    register(
        Operator(
            name=_name,
            domain="random",
            overloads=_overloads,
            kernels=(random_kernel,),
            dtypes=_dtypes,
            differentiable=_name == "dropout",
            tiles=TILES,
        )
    )

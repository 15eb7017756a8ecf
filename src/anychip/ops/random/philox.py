"""Random numbers of one kind in every element: uniform_, normal_, log_normal_, cauchy_, exponential_,
geometric_, bernoulli_, random_, and dropout. They come from the Philox counter generator (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", 2011) keyed by one draw from PyTorch's generator: element i
takes the numbers of counter i on any chip. The sequence is not that of PyTorch's CPU generator."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError, NotServed
from ..host_draw import drawn_seed
from ..kernels.numbers import double
from ..launching import Plan, Plans, Tiles, cdiv, scalar_bits
from ..pointwise import Pointwise
from ..pointwise_kernels import flat_kernel, store_as, tiled_kernel
from ..registry import FLOATING, INTEGRAL, Operator, Overload, Sample, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def open_double(upper, lower):
    """Uniform in (0, 1) in double precision, neither end included: 52 of 64 random bits and a half."""
    wide = (upper.to(tl.uint32).to(tl.uint64) << 32) | lower.to(tl.uint32).to(tl.uint64)
    return ((wide >> 12).to(tl.float64) + 0.5) * 2.220446049250313e-16


@triton.jit
def open_unit(upper, lower, TYPE: tl.constexpr):
    """Uniform in (0, 1) in TYPE, neither end included."""
    if tl.float64 == TYPE:
        value = open_double(upper, lower)
    else:
        value = (upper.to(tl.uint32).to(tl.float32) + 0.5) * 2.3283064365386963e-10
        value = tl.minimum(value, 0.99999994)
    return value


@triton.jit
def draw(key, offset, turn):
    """Two doubles uniform in (0, 1) for each offset: those of its counter and of a loop's `turn`."""
    wide = offset.to(tl.uint64)
    low = (wide & 0xFFFFFFFF).to(tl.uint32)
    high = (wide >> 32).to(tl.uint32)
    none = low * 0
    a, b, c, d = tl.philox(key, low, high, none + turn.to(tl.uint32), none)
    return open_double(a, b), open_double(c, d)


@triton.jit(do_not_specialize=["seed", "low", "high"])
def random_kernel(
    out,
    n,
    seed: tl.int64,
    low: tl.int64,
    high: tl.int64,
    KIND: tl.constexpr,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fill a contiguous `out` with numbers of one kind, computed in TYPE: uniform in [low, high), normal
    with mean low and deviation high (or e to the power of that), Cauchy with median low and width high,
    exponential with rate low, the number of the first success with probability low, coins that show one
    with probability low, or integers in [low, low + high): high is at most 2^32 for "integers", and 0
    stands for 2^64 for "wide_integers"."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    offset = first + lane
    key = seed.to(tl.int64)
    a, b, c, d = tl.randint4x(key, offset)
    if KIND == "integers":
        span = high.to(tl.int64).to(tl.uint64)
        carry = (b.to(tl.uint32).to(tl.uint64) * span) >> 32
        value = low.to(tl.int64) + ((a.to(tl.uint32).to(tl.uint64) * span + carry) >> 32).to(tl.int64)
    elif KIND == "wide_integers":
        wide = (a.to(tl.uint32).to(tl.uint64) << 32) | b.to(tl.uint32).to(tl.uint64)
        span = high.to(tl.int64).to(tl.uint64)
        wide = tl.where(span == 0, wide, wide % tl.maximum(span, 1))
        value = low.to(tl.int64) + wide.to(tl.int64)
    else:
        bottom = double(low).to(TYPE)
        top = double(high).to(TYPE)
        share = open_unit(a, b, TYPE)
        if (KIND == "normal") or (KIND == "log_normal"):
            radius = tl.sqrt(-2.0 * tl.log(share))
            value = radius * tl.cos(6.283185307179586 * open_unit(c, d, TYPE)) * top + bottom
            if KIND == "log_normal":
                value = tl.exp(value)
        elif KIND == "cauchy":
            angle = 3.141592653589793 * (share - 0.5)
            value = bottom + top * tl.sin(angle) / tl.cos(angle)
        elif KIND == "uniform":
            # As many steps as the type tells apart below one, so that none is rounded up to the end.
            OUT: tl.constexpr = out.dtype.element_ty
            if tl.float16 == OUT:
                share = tl.floor(share * 2048) / 2048
            elif tl.bfloat16 == OUT:
                share = tl.floor(share * 256) / 256
            value = share * (top - bottom) + bottom
            value = tl.where(value.to(OUT).to(TYPE) >= top, bottom, value)
        elif KIND == "exponential":
            value = -tl.log(share) / bottom
        elif KIND == "geometric":
            value = tl.maximum(tl.ceil(tl.log(share) / top), 1.0)
        else:
            value = (share < bottom).to(TYPE)
    store_as(out + offset, value, lane < n - first)


@triton.jit
def kept(x, mask, scale):
    """An element that survives dropout, scaled up; zero otherwise."""
    return tl.where(mask, x * scale, 0.0)


KEPT = Pointwise(kept, raw=2)

# ---- forward, backward ----------------------------------------------------------------------------


def _fill(self: torch.Tensor, kind: str, low: int, high: int, generator: Any) -> torch.Tensor:
    if self.dtype not in (*FLOATING, *INTEGRAL, torch.bool):
        raise NotServed(f"{kind} random numbers", f"dtype {self.dtype} is not served")
    if generator is not None and generator.device.type != "cpu":
        raise NotServed(f"{kind} random numbers", f"a generator on {generator.device} is not served")
    if not self.numel():
        return self
    dense = self.is_contiguous()
    target = self if dense else torch.empty(self.shape, dtype=self.dtype, device=self.device)
    key = (target.numel(), target.dtype, target.device, kind)
    plan = PLANS.get(key)
    if plan is None:
        block = TILES.on(self)["block"]
        wide = tl.float64 if self.dtype == torch.float64 else tl.float32
        constants = {"KIND": kind, "TYPE": wide, "BLOCK": block}
        programs = cdiv(target.numel(), block)
        plan = PLANS.remember(key, Plan(random_kernel, programs, (target.numel(),), constants, label=kind))
    plan.launch(target, numbers=(drawn_seed(generator), low, high))
    return self if dense else self.copy_(target)


def uniform_(
    self: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    """Uniform in [low, high)."""
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


def log_normal_(
    self: torch.Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None
) -> torch.Tensor:
    """e to the power of a normal number with the given mean and deviation."""
    if std <= 0:
        raise ArgumentError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _fill(self, "log_normal", scalar_bits(mean, True), scalar_bits(std, True), generator)


def cauchy_(
    self: torch.Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    """Cauchy, by inversion."""
    if sigma <= 0:
        raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    if not self.dtype.is_floating_point:
        raise ArgumentError(
            f"Cauchy distribution is a continuous probability distribution. dtype must be a floating point "
            f"but you specified {self.dtype}"
        )
    return _fill(self, "cauchy", scalar_bits(median, True), scalar_bits(sigma, True), generator)


def geometric_(self: torch.Tensor, p: float, *, generator: Any = None) -> torch.Tensor:
    """Number of trials up to the first success, by inversion."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _fill(self, "geometric", scalar_bits(p, True), scalar_bits(math.log1p(-p), True), generator)


def bernoulli_(self: torch.Tensor, p: float = 0.5, *, generator: Any = None) -> torch.Tensor:
    """One with probability p, else zero."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(self, "bernoulli", scalar_bits(p, True), 0, generator)


def random_from(self: torch.Tensor, low: int, high: int | None, *, generator: Any = None) -> torch.Tensor:
    """Integers in [low, high), up to the largest of the dtype where `high` is None."""
    if high is None:
        high = largest_integer(self.dtype) + 1
    if low >= high:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if not self.dtype.is_floating_point:
        ends = (
            (0, 1) if self.dtype == torch.bool else (torch.iinfo(self.dtype).min, torch.iinfo(self.dtype).max)
        )
        for end, value in (("from", low), ("to - 1", high - 1)):
            if not ends[0] <= value <= ends[1]:
                raise ArgumentError(f"{end} is out of bounds for {self.dtype}: {value}")
    span = high - low
    kind = "integers" if span <= 1 << 32 else "wide_integers"
    return _fill(self, kind, low, span - (1 << 64) if span >= 1 << 63 else span, generator)


def largest_integer(dtype: torch.dtype) -> int:
    """The largest integer below which the dtype holds them all."""
    if dtype == torch.bool:
        return 1
    return round(2 / torch.finfo(dtype).eps) if dtype.is_floating_point else torch.iinfo(dtype).max


def random_all(self: torch.Tensor, *, generator: Any = None) -> torch.Tensor:
    """Integers from zero up to the largest of the dtype."""
    return random_from(self, 0, None, generator=generator)


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
    ("log_normal", (Overload("log_normal_", log_normal_, takes_out=False),), FLOATING),
    ("cauchy", (Overload("cauchy_", cauchy_, takes_out=False),), FLOATING),
    ("geometric", (Overload("geometric_", geometric_, takes_out=False),), (*FLOATING, *INTEGRAL)),
    ("normal", (Overload("normal_", normal_, takes_out=False),), FLOATING),
    ("exponential", (Overload("exponential_", exponential_, takes_out=False),), FLOATING),
    ("bernoulli", (Overload("bernoulli_.float", bernoulli_, takes_out=False),), FLOATING),
    (
        "random",
        (
            Overload("random_.from", random_from, takes_out=False),
            Overload("random_.to", random_to, takes_out=False),
            Overload("random_", random_all, takes_out=False),
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
            overloads=_overloads,
            kernels=(random_kernel, *((flat_kernel, tiled_kernel) if _name == "dropout" else ())),
            dtypes=_dtypes,
            differentiable=_name == "dropout",
            tiles=TILES,
        )
    )

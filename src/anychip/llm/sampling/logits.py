"""What is done to logits before a token is drawn: penalties for tokens that were there already, temperature,
and masks that leave the most probable tokens. Flows in: logits [rows, vocabulary] and settings a row.
Flows out: logits of the same shape and dtype, -inf where a token is masked."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def temperature_kernel(out, logits, temperature, length, BLOCK: tl.constexpr):
    """out = logits / temperature of the row; a temperature of 0 leaves the row as it is."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < length
    t = tl.load(temperature + row).to(tl.float32)
    t = tl.where(t > 0.0, t, 1.0)
    x = tl.load(logits + row * length + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * length + lane, (x / t).to(out.dtype.element_ty), mask=mask)


@triton.jit
def token_count_kernel(counts, tokens, history, length, BLOCK: tl.constexpr):
    """Adds one to the count of each token of a row that is within the vocabulary."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    token = tl.load(tokens + row * history + lane, mask=lane < history, other=-1)
    inside = (token >= 0) & (token < length)
    tl.atomic_add(counts + row * length + token, 1, mask=inside, sem="relaxed")


@triton.jit
def penalty_kernel(out, logits, counts, repetition, frequency, presence, length, BLOCK: tl.constexpr):
    """Of tokens that were there: x / r for x > 0, else x r; then less frequency count + presence."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < length
    at = row * length + lane
    x = tl.load(logits + at, mask=mask, other=0.0).to(tl.float32)
    count = tl.load(counts + at, mask=mask, other=0)
    factor = tl.load(repetition + row).to(tl.float32)
    x = tl.where(count > 0, tl.where(x > 0.0, x / factor, x * factor), x)
    x -= tl.load(frequency + row).to(tl.float32) * count.to(tl.float32)
    x -= tl.where(count > 0, tl.load(presence + row).to(tl.float32), 0.0)
    tl.store(out + at, x.to(out.dtype.element_ty), mask=mask)


@triton.jit
def ordered(x):
    """The bits of a float32 as an integer from 0 to 2^32 - 1 that grows with the number."""
    bits = (x + 0.0).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) + 2147483648


@triton.jit
def largest_mask_kernel(out, logits, limits, length, MASS: tl.constexpr, BLOCK: tl.constexpr):
    """Leaves what is not below a threshold: the largest number of which at least `limit` values (or, with
    MASS, values of that share of the softmax) are not below. It is found bit by bit, and so equal values
    stay together."""
    row = tl.program_id(0).to(tl.int64)
    start = logits + row * length
    limit = tl.load(limits + row).to(tl.float32)
    base = 0.0
    if MASS:
        largest = tl.full((BLOCK,), -float("inf"), tl.float32)
        for first in range(0, length, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            x = tl.load(start + lane, mask=lane < length, other=-float("inf")).to(tl.float32)
            largest = tl.maximum(largest, x)
        base = tl.max(largest, 0)
        whole = tl.zeros((BLOCK,), tl.float32)
        for first in range(0, length, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            x = tl.load(start + lane, mask=lane < length, other=-float("inf")).to(tl.float32)
            whole += tl.exp(x - base)
        limit = limit * tl.sum(whole, 0)
    threshold = tl.zeros((), tl.int64)
    for turn in range(32):
        trial = threshold + (tl.full((), 1, tl.int64) << (31 - turn))
        reached = tl.zeros((BLOCK,), tl.float32)
        for first in range(0, length, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            mask = lane < length
            x = tl.load(start + lane, mask=mask, other=0.0).to(tl.float32)
            worth = 1.0
            if MASS:
                worth = tl.exp(x - base)
            reached += tl.where(mask & (ordered(x) >= trial), worth, 0.0)
        threshold = tl.where(tl.sum(reached, 0) >= limit, trial, threshold)
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        x = tl.load(start + lane, mask=mask, other=0.0).to(tl.float32)
        kept = tl.where(ordered(x) >= threshold, x, -float("inf"))
        tl.store(out + row * length + lane, kept.to(out.dtype.element_ty), mask=mask)


@triton.jit
def min_p_kernel(out, logits, shares, length, BLOCK: tl.constexpr):
    """Leaves tokens whose probability is at least the row's share of the largest."""
    row = tl.program_id(0).to(tl.int64)
    start = logits + row * length
    largest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        x = tl.load(start + lane, mask=lane < length, other=-float("inf")).to(tl.float32)
        largest = tl.maximum(largest, x)
    bound = tl.max(largest, 0) + tl.log(tl.load(shares + row).to(tl.float32))
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        x = tl.load(start + lane, mask=mask, other=0.0).to(tl.float32)
        tl.store(
            out + row * length + lane,
            tl.where(x >= bound, x, -float("inf")).to(out.dtype.element_ty),
            mask=mask,
        )


# ---- functions ------------------------------------------------------------------------------------


def _prepared(
    name: str, logits: torch.Tensor, *settings: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...], int]:
    """Output, logits and settings, contiguous, and the block."""
    if logits.ndim != 2 or any(s.shape != logits.shape[:1] for s in settings):
        raise ArgumentError(
            f"{name}: expected logits [rows, vocabulary] and one number a row, got {tuple(logits.shape)} "
            f"and {[tuple(s.shape) for s in settings]}"
        )
    logits = logits.contiguous()
    block = min(TILES.on(logits)["block"], power_of_two(logits.shape[1]))
    return torch.empty_like(logits), logits, tuple(s.contiguous() for s in settings), block


def scale_by_temperature(logits: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """logits [rows, vocabulary] over temperature [rows]; rows with temperature 0 stay. Raises
    ArgumentError."""
    out, logits, (t,), block = _prepared("scale_by_temperature", logits, temperature)
    rows, length = logits.shape
    launch(temperature_kernel, (cdiv(length, block), rows), out, logits, t, length, BLOCK=block)
    return out


def penalize_tokens(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    repetition: torch.Tensor,
    frequency: torch.Tensor,
    presence: torch.Tensor,
) -> torch.Tensor:
    """Makes tokens that were there less likely.

    tokens [rows, history] integers, those outside of the vocabulary (-1 for padding) do not count; factor
    `repetition` [rows] divides positive logits and multiplies others; `frequency` times the count, and
    `presence`, are subtracted. logits [rows, vocabulary]. Raises ArgumentError.
    """
    out, logits, settings, block = _prepared("penalize_tokens", logits, repetition, frequency, presence)
    rows, length = logits.shape
    if tokens.ndim != 2 or tokens.shape[0] != rows:
        raise ArgumentError(f"penalize_tokens: tokens {tuple(tokens.shape)} for {rows} rows of logits")
    history = tokens.shape[1]
    counts = torch.zeros((rows, length), dtype=torch.int32, device=logits.device)
    launch(
        token_count_kernel,
        (cdiv(history, 256), rows),
        counts,
        tokens.contiguous(),
        history,
        length,
        BLOCK=256,
    )
    launch(penalty_kernel, (cdiv(length, block), rows), out, logits, counts, *settings, length, BLOCK=block)
    return out


def top_k_mask(logits: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """-inf for all but the k [rows] largest logits of a row, and those equal to the last of them. A k of the
    vocabulary or more keeps all. Raises ArgumentError."""
    out, logits, (limits,), block = _prepared("top_k_mask", logits, k)
    launch(
        largest_mask_kernel,
        logits.shape[0],
        out,
        logits,
        limits,
        logits.shape[1],
        label="count",
        MASS=False,
        BLOCK=block,
    )
    return out


def top_p_mask(logits: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """-inf for all but the fewest largest logits whose probabilities reach p [rows], and those equal to the
    last of them. Raises ArgumentError."""
    out, logits, (limits,), block = _prepared("top_p_mask", logits, p)
    launch(
        largest_mask_kernel,
        logits.shape[0],
        out,
        logits,
        limits,
        logits.shape[1],
        label="mass",
        MASS=True,
        BLOCK=block,
    )
    return out


def min_p_mask(logits: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """-inf for tokens less probable than p [rows] times the most probable. Raises ArgumentError."""
    out, logits, (shares,), block = _prepared("min_p_mask", logits, p)
    launch(min_p_kernel, logits.shape[0], out, logits, shares, logits.shape[1], BLOCK=block)
    return out


# ---- records --------------------------------------------------------------------------------------


def _temperature_reference(logits: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    return logits / torch.where(temperature > 0, temperature, 1.0)[:, None]


def _penalty_reference(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    repetition: torch.Tensor,
    frequency: torch.Tensor,
    presence: torch.Tensor,
) -> torch.Tensor:
    counts = torch.zeros_like(logits)
    for row, mine in enumerate(tokens.tolist()):
        for token in mine:
            if 0 <= token < logits.shape[1]:
                counts[row, token] += 1
    factor = repetition[:, None]
    there = torch.where(logits > 0, logits / factor, logits * factor)
    seen = counts > 0
    return torch.where(seen, there, logits) - frequency[:, None] * counts - presence[:, None] * seen


def _top_k_reference(logits: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    ranked = logits.sort(-1, True).values
    last = ranked.gather(-1, (k.long().clamp(max=logits.shape[1]) - 1)[:, None])
    return logits.masked_fill((logits < last) & (k < logits.shape[1])[:, None], -torch.inf)


def _top_p_reference(logits: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    ranked = logits.sort(-1, True).values
    reached = ranked.softmax(-1).cumsum(-1)
    last = (reached < p[:, None]).sum(-1, keepdim=True).clamp(max=logits.shape[1] - 1)
    return logits.masked_fill(logits < ranked.gather(-1, last), -torch.inf)


def _min_p_reference(logits: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    share = logits.softmax(-1)
    return logits.masked_fill(share < p[:, None] * share.amax(-1, True), -torch.inf)


def _rows(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    return tensor((3, 7), dtype), tensor((3000, 3), dtype).t()


def _halves(dtype: torch.dtype) -> torch.Tensor:
    """Logits of which the largest is a power of two and stays as it is: its own rounding alone moves it."""
    return torch.tensor([[2.0, -1.0, 0.5, 1.0], [8.0, 2.0, -1.0, 4.0]], dtype=dtype)


def _numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _temperature_samples(dtype: torch.dtype) -> Iterable[Sample]:
    small, large = _rows(dtype)
    yield Sample((small, _numbers(0.5, 0.0, 1.75)))
    yield Sample((_halves(dtype), _numbers(2.0, 0.0)))
    yield Sample((large, _numbers(0.5, 0.0, 1.75)))


def _penalty_samples(dtype: torch.dtype) -> Iterable[Sample]:
    settings = _numbers(1.25, 1.0, 0.5), _numbers(0.5, 0.0, 0.25), _numbers(0.0, 0.25, 1.0)
    tokens = torch.tensor([[1, 1, 6, -1], [0, 2, 4, 99999], [-1, -1, -1, -1]])
    small, large = _rows(dtype)
    yield Sample((small, tokens, *settings))
    few = torch.tensor([[0, 0, 2], [1, 3, -1]])
    yield Sample((_halves(dtype), few, _numbers(2.0, 4.0), _numbers(0.25, 0.0), _numbers(0.5, 0.0)))
    yield Sample((large, tokens, *settings))


def _top_k_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _rows(dtype):
        yield Sample((x, torch.tensor([1, 5, 7], dtype=torch.int32)))
    yield Sample((torch.tensor([[1.0, 2.0, 2.0, -torch.inf, 2.0]]).to(dtype), torch.tensor([2])))


def _share_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _rows(dtype):
        yield Sample((x, _numbers(0.31, 0.77, 0.05)))


for _name, _function, _plain, _draw, _kernels in (
    (
        "scale_by_temperature",
        scale_by_temperature,
        _temperature_reference,
        _temperature_samples,
        (temperature_kernel,),
    ),
    (
        "penalize_tokens",
        penalize_tokens,
        _penalty_reference,
        _penalty_samples,
        (token_count_kernel, penalty_kernel),
    ),
    ("top_k_mask", top_k_mask, _top_k_reference, _top_k_samples, (largest_mask_kernel,)),
    ("top_p_mask", top_p_mask, _top_p_reference, _share_samples, (largest_mask_kernel,)),
    ("min_p_mask", min_p_mask, _min_p_reference, _share_samples, (min_p_kernel,)),
):
    register(Fused(_name, "sampling", _function, _plain, _draw, _kernels))

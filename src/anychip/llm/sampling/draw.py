"""Drawing tokens: the most probable, or one by chance with Gumbel's trick and Philox's numbers, the same on
every chip; and the check of a draft's tokens against the model's own (Leviathan et al., 2023). Flows in:
logits or probabilities, drafts, seeds or uniform numbers. Flows out: tokens."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=("seed_low", "seed_high"))
def sample_kernel(tokens, logits, seed_low, seed_high, length, NOISE: tl.constexpr, BLOCK: tl.constexpr):
    """The first largest logit of one row, after adding Gumbel numbers with NOISE: element i of all rows
    takes those of Philox's counter i."""
    row = tl.program_id(0).to(tl.int64)
    largest = -float("inf")
    best = tl.zeros((), tl.int32)
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        x = tl.load(logits + row * length + lane, mask=lane < length, other=-float("inf")).to(tl.float32)
        if NOISE:
            offset = row * length + lane
            low = (offset & 0xFFFFFFFF).to(tl.uint32)
            high = (offset >> 32).to(tl.uint32)
            seed = (seed_high.to(tl.int64) << 32) | (seed_low.to(tl.int64) & 0xFFFFFFFF)
            bits, _, _, _ = tl.philox(seed, low, high, low * 0, low * 0)
            share = (bits.to(tl.uint32).to(tl.float32) + 0.5) * 2.3283064365386963e-10
            x -= tl.log(-tl.log(tl.minimum(share, 0.99999994)))
        x = tl.where(x != x, float("inf"), x)  # NaN is the largest, as in torch.argmax
        value = tl.max(x, 0)
        place = tl.min(tl.where(x == value, lane, 2147483647), 0)
        best = tl.where(value > largest, place, best)
        largest = tl.maximum(largest, value)
    tl.store(tokens + row, best.to(tl.int64))


@triton.jit
def verify_greedy_kernel(tokens, accepted, draft, target, count):
    """Keeps the draft's tokens up to the first that differs, then the model's; -1 beyond."""
    row = tl.program_id(0).to(tl.int64)
    going = 1
    kept = 0
    for one in range(count + 1):
        wanted = tl.load(target + row * (count + 1) + one).to(tl.int64)
        tl.store(tokens + row * (count + 1) + one, tl.where(going == 1, wanted, -1))
        guess = tl.load(draft + row * count + one, mask=one < count, other=-1).to(tl.int64)
        going = tl.where((going == 1) & (one < count) & (guess == wanted), 1, 0)
        kept += going
    tl.store(accepted + row, kept)


@triton.jit
def rest_sum(target, draft, length, BLOCK: tl.constexpr):
    """Sum of max(target - draft, 0); draft is None for nothing to subtract."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        p = tl.load(target + lane, mask=mask, other=0.0).to(tl.float32)
        p -= tl.load(draft + lane, mask=mask, other=0.0).to(tl.float32)
        total += tl.maximum(p, 0.0)
    return tl.sum(total, 0)


@triton.jit
def verify_rejection_kernel(
    tokens, accepted, draft, draft_share, target_share, uniform, nothing, count, length, BLOCK: tl.constexpr
):
    """Keeps draft token x while u q(x) <= p(x); then draws from max(p - q, 0), or from p after the last, by
    the last uniform number. `nothing` is a row of zeros."""
    row = tl.program_id(0).to(tl.int64)
    going = 1
    kept = 0
    for one in range(count):
        guess = tl.load(draft + row * count + one).to(tl.int64)
        q = tl.load(draft_share + (row * count + one) * length + guess).to(tl.float32)
        p = tl.load(target_share + (row * (count + 1) + one) * length + guess).to(tl.float32)
        u = tl.load(uniform + row * (count + 1) + one).to(tl.float32)
        going = tl.where((going == 1) & (u * q <= p), 1, 0)
        kept += going
        tl.store(tokens + row * (count + 1) + one, tl.where(going == 1, guess, -1))
    target = target_share + (row * (count + 1) + kept) * length
    other = nothing
    if kept < count:
        other = draft_share + (row * count + kept) * length
    bound = tl.load(uniform + row * (count + 1) + count).to(tl.float32)
    bound = bound * rest_sum(target, other, length, BLOCK)
    passed = 0.0
    drawn = tl.full((), 2147483647, tl.int32)
    last = tl.zeros((), tl.int32)
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        p = tl.load(target + lane, mask=mask, other=0.0).to(tl.float32)
        p = tl.maximum(p - tl.load(other + lane, mask=mask, other=0.0).to(tl.float32), 0.0)
        reached = passed + tl.cumsum(p, 0)
        drawn = tl.minimum(drawn, tl.min(tl.where((reached > bound) & (p > 0.0), lane, 2147483647), 0))
        last = tl.maximum(last, tl.max(tl.where(p > 0.0, lane, 0), 0))
        passed += tl.sum(p, 0)
    drawn = tl.minimum(drawn, tl.maximum(last, 0))
    tl.store(tokens + row * (count + 1) + kept, drawn.to(tl.int64))
    for one in range(kept + 1, count + 1):
        tl.store(tokens + row * (count + 1) + one, tl.full((), -1, tl.int64))
    tl.store(accepted + row, kept)


# ---- functions ------------------------------------------------------------------------------------


def _sampled(name: str, logits: torch.Tensor, seed: int, noise: bool) -> torch.Tensor:
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ArgumentError(f"{name}: expected logits [rows, vocabulary], got {tuple(logits.shape)}")
    rows, length = logits.shape
    tokens = torch.empty(rows, dtype=torch.int64, device=logits.device)
    block = min(TILES.on(logits)["block"], power_of_two(length))
    low, high = (half - (1 << 32) if half >> 31 else half for half in (seed & 0xFFFFFFFF, seed >> 32))
    launch(
        sample_kernel,
        rows,
        tokens,
        logits.contiguous(),
        low,
        high,
        length,
        label=name,
        NOISE=noise,
        BLOCK=block,
    )
    return tokens


def greedy_sample(logits: torch.Tensor) -> torch.Tensor:
    """The first largest of logits [rows, vocabulary], int64 [rows]. Raises ArgumentError."""
    return _sampled("greedy_sample", logits, 0, False)


def gumbel_sample(logits: torch.Tensor, seed: int) -> torch.Tensor:
    """One token a row by the probabilities softmax(logits), int64 [rows].

    logits [rows, vocabulary], -inf for what must not be drawn; `seed` from 0 to 2^64 - 1 decides
    everything. Raises ArgumentError.
    """
    if not 0 <= seed < 1 << 64:
        raise ArgumentError(f"gumbel_sample: seed {seed} is not within 0 and 2^64 - 1")
    return _sampled("gumbel_sample", logits, seed, True)


def verify_greedy(draft: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which drafted tokens a greedy model would have chosen.

    draft [rows, count] and target [rows, count + 1] integers, target the model's choice at each place. Gives
    tokens [rows, count + 1] int64 (those accepted, then one of the model, then -1) and the number accepted
    [rows] int32. Raises ArgumentError.
    """
    if draft.ndim != 2 or target.shape != (draft.shape[0], draft.shape[1] + 1):
        raise ArgumentError(
            f"verify_greedy: draft {tuple(draft.shape)} and target {tuple(target.shape)} must be "
            f"[rows, count] and [rows, count + 1]"
        )
    rows, count = draft.shape
    tokens = torch.empty((rows, count + 1), dtype=torch.int64, device=draft.device)
    accepted = torch.empty(rows, dtype=torch.int32, device=draft.device)
    launch(verify_greedy_kernel, rows, tokens, accepted, draft.contiguous(), target.contiguous(), count)
    return tokens, accepted


def verify_rejection(
    draft: torch.Tensor, draft_share: torch.Tensor, target_share: torch.Tensor, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Speculative sampling: tokens distributed as the model's own, from those of a draft.

    draft [rows, count] integers drawn from draft_share [rows, count, vocabulary]; target_share [rows,
    count + 1, vocabulary], both probabilities; uniform [rows, count + 1] in [0, 1). Gives tokens [rows,
    count + 1] int64 (those accepted, then one more, then -1) and the number accepted [rows] int32.
    Raises ArgumentError.
    """
    rows, count = draft.shape if draft.ndim == 2 else (-1, -1)
    length = target_share.shape[-1]
    if (
        rows < 0
        or draft_share.shape != (rows, count, length)
        or target_share.shape != (rows, count + 1, length)
        or uniform.shape != (rows, count + 1)
    ):
        raise ArgumentError(
            f"verify_rejection: draft {tuple(draft.shape)}, shares {tuple(draft_share.shape)} and "
            f"{tuple(target_share.shape)}, uniform {tuple(uniform.shape)} do not belong together"
        )
    tokens = torch.empty((rows, count + 1), dtype=torch.int64, device=draft.device)
    accepted = torch.empty(rows, dtype=torch.int32, device=draft.device)
    nothing = torch.zeros(length, dtype=draft_share.dtype, device=draft.device)
    launch(
        verify_rejection_kernel,
        rows,
        tokens,
        accepted,
        draft.contiguous(),
        draft_share.contiguous(),
        target_share.contiguous(),
        uniform.contiguous(),
        nothing,
        count,
        length,
        BLOCK=min(TILES.on(draft)["block"], power_of_two(length)),
    )
    return tokens, accepted


# ---- records --------------------------------------------------------------------------------------


def _philox(seed: int, counters: torch.Tensor) -> torch.Tensor:
    """The first word of Philox4x32-10 for each counter, by the paper's definition."""
    words = [counters & 0xFFFFFFFF, counters >> 32, torch.zeros_like(counters), torch.zeros_like(counters)]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        first, third = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
        words = [
            ((third >> 32) & 0xFFFFFFFF) ^ words[1] ^ keys[0],
            third & 0xFFFFFFFF,
            ((first >> 32) & 0xFFFFFFFF) ^ words[3] ^ keys[1],
            first & 0xFFFFFFFF,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words[0]


def _gumbel_reference(logits: torch.Tensor, seed: int) -> torch.Tensor:
    bits = _philox(seed, torch.arange(logits.numel())).view(logits.shape)
    share = (bits.double() + 0.5) / 2**32
    return (logits - (-share.log()).log()).argmax(-1)


def _verify_greedy_reference(draft: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    kept = (draft == target[:, :-1]).long().cumprod(-1).sum(-1)
    beyond = torch.arange(target.shape[1]) > kept[:, None]
    return target.masked_fill(beyond, -1), kept


def _verify_rejection_reference(
    draft: torch.Tensor, draft_share: torch.Tensor, target_share: torch.Tensor, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.full(uniform.shape, -1)
    accepted = torch.zeros(draft.shape[0], dtype=torch.int64)
    for row, guesses in enumerate(draft.tolist()):
        kept = 0
        while kept < len(guesses):
            guess = guesses[kept]
            if uniform[row, kept] * draft_share[row, kept, guess] > target_share[row, kept, guess]:
                break
            tokens[row, kept] = guess
            kept += 1
        rest = target_share[row, kept]
        if kept < len(guesses):
            rest = (rest - draft_share[row, kept]).clamp(min=0)
        reached = rest.cumsum(-1)
        tokens[row, kept] = int((reached <= uniform[row, -1] * reached[-1]).sum())
        accepted[row] = kept
    return tokens, accepted


def _greedy_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype),))
    yield Sample((tensor((5000, 4), dtype).t(),))


def _gumbel_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((300, 5), dtype), 7))
    yield Sample((tensor((5000, 3), dtype).t(), 0xFEDCBA9876543210))


def _verify_greedy_samples(dtype: torch.dtype) -> Iterable[Sample]:
    target = torch.randint(0, 9, (6, 5), generator=torch.Generator().manual_seed(1))
    draft = target[:, :4].clone()
    draft[torch.arange(5), torch.tensor([0, 1, 2, 3, 1])] += 1
    yield Sample((draft, target))
    yield Sample((draft.int(), target.int()))


def _shares(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    return tensor(shape, torch.float32, seed=seed).softmax(-1).to(dtype)


def _verify_rejection_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, count, length in ((8, 3, 7), (3, 2, 3000)):
        p, q = _shares((rows, count + 1, length), dtype, 1), _shares((rows, count, length), dtype, 2)
        draft = torch.randint(0, length, (rows, count), generator=torch.Generator().manual_seed(3))
        yield Sample((draft, q, p, tensor((rows, count + 1), torch.float32, 0, 1)))


register(
    Fused(
        "greedy_sample", "sampling", greedy_sample, lambda x: x.argmax(-1), _greedy_samples, (sample_kernel,)
    )
)
register(
    Fused("gumbel_sample", "sampling", gumbel_sample, _gumbel_reference, _gumbel_samples, (sample_kernel,))
)
register(
    Fused(
        "verify_greedy",
        "sampling",
        verify_greedy,
        _verify_greedy_reference,
        _verify_greedy_samples,
        (verify_greedy_kernel,),
        dtypes=(torch.float32,),
    )
)
register(
    Fused(
        "verify_rejection",
        "sampling",
        verify_rejection,
        _verify_rejection_reference,
        _verify_rejection_samples,
        (verify_rejection_kernel,),
        dtypes=(torch.float32,),
    )
)

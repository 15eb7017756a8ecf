"""Which experts a token goes to: the largest of the softmax, or the largest sigmoids within the best groups
(DeepSeek-V3, arXiv:2412.19437). Flows in: a router's logits [tokens, experts]. Flows out: weights
[tokens, k] in float32 and expert numbers [tokens, k] in int32, the largest first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def rankable(values, inside):
    """Values as they are ranked: a NaN is the largest, as in torch.topk, and what exists is above the -inf of
    what does not exist or was chosen before, so that the chosen are distinct and within range, whatever the
    values are."""
    values = tl.where(values != values, float("inf"), tl.maximum(values, -3.4028234663852886e38))
    return tl.where(inside, values, -float("inf"))


@triton.jit
def first_largest(values, lane, COUNT: tl.constexpr):
    """The largest of a row of values, and where it stands first."""
    largest = tl.max(values, 0)
    return largest, tl.min(tl.where(values == largest, lane, COUNT), 0)


@triton.jit
def topk_softmax_kernel(
    weights, ids, logits, experts, k, RENORMALIZE: tl.constexpr, BLOCK: tl.constexpr, SLOTS: tl.constexpr
):
    """The k largest of one token's softmax, which sum to one if RENORMALIZE."""
    token = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    slot = tl.arange(0, SLOTS)
    x = tl.load(logits + token * experts + lane, mask=lane < experts, other=-float("inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, 0))
    total = tl.sum(e, 0)
    left = rankable(x, lane < experts)
    chosen = tl.zeros((SLOTS,), tl.float32)
    numbers = tl.zeros((SLOTS,), tl.int32)
    for turn in range(k):
        _, place = first_largest(left, lane, BLOCK)
        value = tl.sum(tl.where(lane == place, e, 0.0), 0)
        chosen = tl.where(slot == turn, value, chosen)
        numbers = tl.where(slot == turn, place, numbers)
        left = tl.where(lane == place, -float("inf"), left)
    if RENORMALIZE:
        total = tl.sum(chosen, 0)
    tl.store(weights + token * k + slot, chosen / total, mask=slot < k)
    tl.store(ids + token * k + slot, numbers, mask=slot < k)


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def softplus_sqrt(x):
    """The root of log(1 + exp(x)), without overflow."""
    return tl.sqrt(tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x))))


@triton.jit
def topk_scores_kernel(
    weights,
    ids,
    logits,
    bias,
    experts,
    k,
    factor,
    SCORE: tl.constexpr,
    RENORMALIZE: tl.constexpr,
    BLOCK: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """The k largest SCOREs of one token, chosen after adding the bias."""
    token = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    slot = tl.arange(0, SLOTS)
    inside = lane < experts
    score = SCORE(tl.load(logits + token * experts + lane, mask=inside, other=0.0).to(tl.float32))
    left = score
    if bias is not None:
        left += tl.load(bias + lane, mask=inside, other=0.0).to(tl.float32)
    left = rankable(left, inside)
    chosen = tl.zeros((SLOTS,), tl.float32)
    numbers = tl.zeros((SLOTS,), tl.int32)
    for turn in range(k):
        _, place = first_largest(left, lane, BLOCK)
        value = tl.sum(tl.where(lane == place, score, 0.0), 0)
        chosen = tl.where(slot == turn, value, chosen)
        numbers = tl.where(slot == turn, place, numbers)
        left = tl.where(lane == place, -float("inf"), left)
    if RENORMALIZE:
        chosen = chosen / (tl.sum(chosen, 0) + 1e-20)
    tl.store(weights + token * k + slot, chosen * factor, mask=slot < k)
    tl.store(ids + token * k + slot, numbers, mask=slot < k)


@triton.jit
def grouped_topk_kernel(
    weights,
    ids,
    logits,
    bias,
    groups,
    members,
    groups_kept,
    k,
    factor,
    RENORMALIZE: tl.constexpr,
    GROUPS: tl.constexpr,
    MEMBERS: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """The k largest sigmoids of one token, chosen after adding the bias, among those of the groups whose two
    largest sum to most."""
    token = tl.program_id(0).to(tl.int64)
    group = tl.arange(0, GROUPS)
    member = tl.arange(0, MEMBERS)
    slot = tl.arange(0, SLOTS)
    inside = (group < groups)[:, None] & (member < members)[None, :]
    place = group[:, None] * members + member[None, :]
    x = tl.load(logits + token * groups * members + place, mask=inside, other=0.0).to(tl.float32)
    score = 1.0 / (1.0 + tl.exp(-x))
    ranked = score
    if bias is not None:
        ranked += tl.load(bias + place, mask=inside, other=0.0).to(tl.float32)
    ranked = rankable(ranked, inside)
    best = tl.max(ranked, 1)
    is_best = ranked == tl.expand_dims(best, 1)
    best_at = tl.min(tl.where(is_best, member[None, :], MEMBERS), 1)
    second = tl.max(tl.where(member[None, :] == tl.expand_dims(best_at, 1), -float("inf"), ranked), 1)
    worth = rankable(best + tl.where(second == -float("inf"), 0.0, second), group < groups)
    kept = group < 0
    for _ in range(groups_kept):
        _, winner = first_largest(worth, group, GROUPS)
        kept = kept | (group == winner)
        worth = tl.where(group == winner, -float("inf"), worth)
    left = tl.where(kept[:, None] & inside, ranked, -float("inf"))
    chosen = tl.zeros((SLOTS,), tl.float32)
    numbers = tl.zeros((SLOTS,), tl.int32)
    for turn in range(k):
        largest = tl.max(tl.max(left, 1), 0)
        number = tl.min(tl.min(tl.where(left == largest, place, GROUPS * MEMBERS), 1), 0)
        hit = (place == number) & inside
        chosen = tl.where(slot == turn, tl.sum(tl.sum(tl.where(hit, score, 0.0), 1), 0), chosen)
        numbers = tl.where(slot == turn, number, numbers)
        left = tl.where(hit, -float("inf"), left)
    if RENORMALIZE:
        chosen = chosen / (tl.sum(chosen, 0) + 1e-20)
    tl.store(weights + token * k + slot, chosen * factor, mask=slot < k)
    tl.store(ids + token * k + slot, numbers, mask=slot < k)


# ---- functions ------------------------------------------------------------------------------------


def _results(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (logits.shape[0], k)
    weights = torch.empty(shape, dtype=torch.float32, device=logits.device)
    return weights, torch.empty(shape, dtype=torch.int32, device=logits.device)


def topk_softmax(logits: torch.Tensor, k: int, renormalize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of softmax(logits) and their experts, equal ones in the order of experts.

    logits [tokens, experts] floating; gives float32 and int32 [tokens, k]. Raises ArgumentError.
    """
    if logits.ndim != 2 or not 1 <= k <= logits.shape[1]:
        raise ArgumentError(
            f"topk_softmax: expected logits [tokens, experts] and k up to the experts, got "
            f"{tuple(logits.shape)} and {k}"
        )
    weights, ids = _results(logits, k)
    experts = logits.shape[1]
    launch(
        topk_softmax_kernel,
        logits.shape[0],
        weights,
        ids,
        logits.contiguous(),
        experts,
        k,
        RENORMALIZE=renormalize,
        BLOCK=power_of_two(experts),
        SLOTS=power_of_two(k),
    )
    return weights, ids


def _topk_scores(
    score: Any, logits: torch.Tensor, k: int, bias: torch.Tensor | None, renormalize: bool, factor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    name = f"topk_{score.__name__}"
    fits = logits.ndim == 2 and 1 <= k <= logits.shape[1]
    if not fits or (bias is not None and bias.shape != logits.shape[1:]):
        raise ArgumentError(
            f"{name}: expected logits [tokens, experts], k up to the experts and a bias [experts], got "
            f"{tuple(logits.shape)} and {k}"
        )
    weights, ids = _results(logits, k)
    experts = logits.shape[1]
    launch(
        topk_scores_kernel,
        logits.shape[0],
        weights,
        ids,
        logits.contiguous(),
        None if bias is None else bias.contiguous(),
        experts,
        k,
        factor,
        label=score.__name__,
        SCORE=score,
        RENORMALIZE=renormalize,
        BLOCK=power_of_two(experts),
        SLOTS=power_of_two(k),
    )
    return weights, ids


def topk_sigmoid(
    logits: torch.Tensor,
    k: int,
    bias: torch.Tensor | None = None,
    renormalize: bool = True,
    factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best experts by sigmoid(logits) + bias; weights are the sigmoids alone, which sum to one with
    `renormalize`, times `factor`. logits [tokens, experts], bias [experts]; gives float32 and int32
    [tokens, k]. Raises ArgumentError."""
    return _topk_scores(sigmoid, logits, k, bias, renormalize, factor)


def topk_softplus_sqrt(
    logits: torch.Tensor,
    k: int,
    bias: torch.Tensor | None = None,
    renormalize: bool = True,
    factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`topk_sigmoid` with the root of softplus as score (DeepSeek-V4). Raises ArgumentError."""
    return _topk_scores(softplus_sqrt, logits, k, bias, renormalize, factor)


def grouped_topk(
    logits: torch.Tensor,
    k: int,
    groups: int,
    groups_kept: int,
    bias: torch.Tensor | None = None,
    renormalize: bool = True,
    factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best experts by sigmoid(logits) + bias within the `groups_kept` best of `groups` equal groups.

    A group is worth the sum of its two best. Weights are the sigmoids alone, which sum to one with
    `renormalize`, times `factor`. logits [tokens, experts], bias [experts]. Raises ArgumentError.
    """
    if logits.ndim != 2 or groups < 1 or logits.shape[1] % groups or not 1 <= groups_kept <= groups:
        raise ArgumentError(
            f"grouped_topk: logits {tuple(logits.shape)} do not fit {groups} equal groups of which "
            f"{groups_kept} are kept"
        )
    members = logits.shape[1] // groups
    if not 1 <= k <= groups_kept * members or (bias is not None and bias.shape != logits.shape[1:]):
        raise ArgumentError(
            f"grouped_topk: k is {k}, of {groups_kept * members} experts in the groups that are kept; a bias "
            f"needs shape {tuple(logits.shape[1:])}"
        )
    weights, ids = _results(logits, k)
    launch(
        grouped_topk_kernel,
        logits.shape[0],
        weights,
        ids,
        logits.contiguous(),
        None if bias is None else bias.contiguous(),
        groups,
        members,
        groups_kept,
        k,
        factor,
        RENORMALIZE=renormalize,
        GROUPS=power_of_two(groups),
        MEMBERS=power_of_two(members),
        SLOTS=power_of_two(k),
    )
    return weights, ids


# ---- records --------------------------------------------------------------------------------------


def _softmax_reference(
    logits: torch.Tensor, k: int, renormalize: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    ids = logits.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    weights = logits.softmax(-1).gather(-1, ids)
    return (weights / weights.sum(-1, keepdim=True) if renormalize else weights), ids


def _grouped_reference(
    logits: torch.Tensor,
    k: int,
    groups: int,
    groups_kept: int,
    bias: torch.Tensor | None = None,
    renormalize: bool = True,
    factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    score = logits.sigmoid()
    ranked = (score if bias is None else score + bias).unflatten(-1, (groups, -1))
    worth = ranked.topk(min(2, ranked.shape[-1]), -1).values.sum(-1)
    best = worth.sort(dim=-1, descending=True, stable=True).indices[:, :groups_kept]
    kept = torch.zeros_like(worth, dtype=torch.bool).scatter(-1, best, True)
    ranked = ranked.masked_fill(~kept[..., None], -torch.inf).flatten(1)
    ids = ranked.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    weights = score.gather(-1, ids)
    return factor * (weights / weights.sum(-1, keepdim=True) if renormalize else weights), ids


def _scores_reference(
    score: Callable[[torch.Tensor], torch.Tensor],
    logits: torch.Tensor,
    k: int,
    bias: torch.Tensor | None = None,
    renormalize: bool = True,
    factor: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = score(logits)
    ranked = scores if bias is None else scores + bias
    ids = ranked.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    weights = scores.gather(-1, ids)
    return factor * (weights / weights.sum(-1, keepdim=True) if renormalize else weights), ids


def _scores_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), 3))
    yield Sample((tensor((64, 9), dtype).t(), 6, tensor((64,), torch.float32, -0.3, 0.3), False, 2.5))


def _softmax_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), 3))
    yield Sample((tensor((128, 9), dtype).t(), 8, False))
    yield Sample((tensor((1, 4), dtype), 4))


def _grouped_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 12), dtype), 4, 3, 2))
    yield Sample((tensor((9, 64), dtype), 6, 8, 3, tensor((64,), torch.float32, -0.3, 0.3), True, 2.5))
    yield Sample((tensor((16, 4), dtype).t(), 2, 16, 5, None, False))


register(
    Fused("topk_softmax", "moe", topk_softmax, _softmax_reference, _softmax_samples, (topk_softmax_kernel,))
)
for _function, _score in (
    (topk_sigmoid, torch.sigmoid),
    (topk_softplus_sqrt, lambda x: F.softplus(x).sqrt()),
):
    register(
        Fused(
            _function.__name__,
            "moe",
            _function,
            functools.partial(_scores_reference, _score),
            _scores_samples,
            (topk_scores_kernel,),
        )
    )
register(
    Fused("grouped_topk", "moe", grouped_topk, _grouped_reference, _grouped_samples, (grouped_topk_kernel,))
)

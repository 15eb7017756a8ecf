"""The kernels of routing: scores of experts, and the best of them."""

from __future__ import annotations

import triton
import triton.language as tl


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

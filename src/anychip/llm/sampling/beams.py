"""Beam search and drafts with several continuations: log-probabilities added to the scores of beams, the best
continuations of all beams of a prompt, acceptance by what a model finds typical (Cai et al., "Medusa", 2024),
and the longest accepted branch of a tree of drafts. Flows in: logits, scores, drafts. Flows out: scores,
tokens."""

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
from ..loss.rows import log_sum_exp
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def beam_scores_kernel(out, logits, scores, finished, end, length, CAPPED: tl.constexpr, BLOCK: tl.constexpr):
    """score + log softmax(logits) of one beam; a finished one goes on with `end` alone, at no cost."""
    row = tl.program_id(0).to(tl.int64)
    line = logits + row * length
    largest, rest, _ = log_sum_exp(line, length, 1.0, 0.0, CAPPED, BLOCK)
    score = tl.load(scores + row).to(tl.float32)
    done = False
    if finished is not None:
        done = tl.load(finished + row) != 0
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        x = tl.load(line + lane, mask=mask, other=0.0).to(tl.float32) - largest - rest + score
        x = tl.where(done, tl.where(lane == end, score, float("-inf")), x)
        tl.store(out + row * length + lane, x, mask=mask)


@triton.jit
def best_beams_kernel(values, beams, tokens, scores, width, length, k, BLOCK: tl.constexpr):
    """The k largest scores of one prompt's beams, the largest first, of equal ones the first."""
    prompt = tl.program_id(0).to(tl.int64)
    count = width * length
    line = scores + prompt * count
    bound = float("inf")
    place = tl.full((), -1, tl.int32)
    for turn in range(k):
        best = float("-inf")
        best_at = tl.full((), 2147483647, tl.int32)
        for first in range(0, count, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            x = tl.load(line + lane, mask=lane < count, other=float("-inf"))
            x = tl.where(x != x, float("inf"), x)  # NaN is the largest, as in torch.topk
            open_still = (lane < count) & ((x < bound) | ((x == bound) & (lane > place)))
            value = tl.max(tl.where(open_still, x, float("-inf")), 0)
            at = tl.min(tl.where(open_still & (x == value), lane, 2147483647), 0)
            better = (value > best) | ((value == best) & (at < best_at))
            best_at = tl.where(better, at, best_at)
            best = tl.maximum(best, value)
        bound = best
        place = best_at
        to = prompt * k + turn
        tl.store(values + to, tl.load(line + place))
        tl.store(beams + to, place // length)
        tl.store(tokens + to, (place % length).to(tl.int64))


@triton.jit
def typical_kernel(
    accepted, logits, draft, count, length, epsilon, alpha, CAPPED: tl.constexpr, BLOCK: tl.constexpr
):
    """How many drafted tokens of one row, from the first on, have p > min(epsilon, alpha exp(-entropy))."""
    row = tl.program_id(0).to(tl.int64)
    going = 1
    kept = 0
    for one in range(count):
        line = logits + (row * (count + 1) + one) * length
        largest, rest, _ = log_sum_exp(line, length, 1.0, 0.0, CAPPED, BLOCK)
        inner = tl.zeros((BLOCK,), tl.float32)
        for first in range(0, length, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            x = tl.load(line + lane, mask=lane < length, other=float("-inf")).to(tl.float32) - largest - rest
            inner += tl.where(x > float("-inf"), tl.exp(x) * x, 0.0)
        bound = tl.minimum(epsilon, alpha * tl.exp(tl.sum(inner, 0)))
        guess = tl.load(draft + row * count + one).to(tl.int64)
        share = tl.exp(tl.load(line + guess).to(tl.float32) - largest - rest)
        going = tl.where((going == 1) & (share > bound), 1, 0)
        kept += going
    tl.store(accepted + row, kept)


@triton.jit
def tree_kernel(accepted, last, draft, target, parents, nodes, BLOCK: tl.constexpr):
    """Of one tree of drafted tokens: a node is accepted if its parent is and the model chose its token there.
    Gives the deepest accepted node (the first of them) and its depth; node 0 is what was there before."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    depth = tl.where(lane == 0, 0, -1)
    for node in range(1, nodes):
        parent = tl.load(parents + node).to(tl.int32)
        above = tl.max(tl.where(lane == parent, depth, -1), 0)
        wanted = tl.load(target + row * nodes + parent).to(tl.int64)
        guess = tl.load(draft + row * nodes + node).to(tl.int64)
        mine = tl.where((above >= 0) & (wanted == guess), above + 1, -1)
        depth = tl.where(lane == node, mine, depth)
    deepest = tl.max(depth, 0)
    tl.store(accepted + row, deepest)
    tl.store(last + row, tl.min(tl.where(depth == deepest, lane, 2147483647), 0))


# ---- functions ------------------------------------------------------------------------------------


def beam_search_scores(
    logits: torch.Tensor,
    scores: torch.Tensor,
    finished: torch.Tensor | None = None,
    end: int = -1,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """scores[beam] + log softmax(logits[beam]) of every continuation, in float32.

    logits [beams, vocabulary], scores [beams]; a beam of finished [beams] goes on with token `end` alone and
    keeps its score. `out` [beams, vocabulary] float32 contiguous is written in place. Raises ArgumentError.
    """
    if logits.ndim != 2 or scores.shape != logits.shape[:1]:
        raise ArgumentError(
            f"beam_search_scores: logits {tuple(logits.shape)} and scores {tuple(scores.shape)} must be "
            f"[beams, vocabulary] and [beams]"
        )
    if out is None:
        out = torch.empty(logits.shape, dtype=torch.float32, device=logits.device)
    if out.shape != logits.shape or out.dtype != torch.float32 or not out.is_contiguous():
        raise ArgumentError(f"beam_search_scores: out must be contiguous float32 {tuple(logits.shape)}")
    rows, length = logits.shape
    launch(
        beam_scores_kernel,
        rows,
        out,
        logits.contiguous(),
        scores.contiguous(),
        finished,
        end,
        length,
        CAPPED=False,
        BLOCK=min(TILES.on(logits)["block"], power_of_two(length)),
    )
    return out


def best_beams(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k best continuations of each prompt's beams, the best first.

    scores [prompts, beams, vocabulary] float32; gives their scores, beams (int32) and tokens (int64), each
    [prompts, k]. Raises ArgumentError.
    """
    if scores.ndim != 3 or scores.dtype != torch.float32 or not 1 <= k <= scores.shape[1:].numel():
        raise ArgumentError(
            f"best_beams: expected float32 scores [prompts, beams, vocabulary] and k up to their number, got "
            f"{tuple(scores.shape)} of {scores.dtype} and {k}"
        )
    prompts, width, length = scores.shape
    values = torch.empty((prompts, k), dtype=torch.float32, device=scores.device)
    beams = torch.empty((prompts, k), dtype=torch.int32, device=scores.device)
    tokens = torch.empty((prompts, k), dtype=torch.int64, device=scores.device)
    launch(
        best_beams_kernel,
        prompts,
        values,
        beams,
        tokens,
        scores.contiguous(),
        width,
        length,
        k,
        BLOCK=min(TILES.on(scores)["block"], power_of_two(width * length)),
    )
    return values, beams, tokens


def verify_typical(
    draft: torch.Tensor, logits: torch.Tensor, epsilon: float = 0.09, alpha: float = 0.3
) -> torch.Tensor:
    """How many drafted tokens a model finds typical, from the first on: p > min(epsilon, alpha exp(-H)).

    draft [rows, count] integers, logits [rows, count + 1, vocabulary]; gives [rows] int32. H is the
    entropy. Raises ArgumentError.
    """
    if draft.ndim != 2 or logits.shape[:-1] != (draft.shape[0], draft.shape[1] + 1):
        raise ArgumentError(
            f"verify_typical: draft {tuple(draft.shape)} and logits {tuple(logits.shape)} must be "
            f"[rows, count] and [rows, count + 1, vocabulary]"
        )
    rows, count = draft.shape
    accepted = torch.empty(rows, dtype=torch.int32, device=draft.device)
    length = logits.shape[-1]
    launch(
        typical_kernel,
        rows,
        accepted,
        logits.contiguous(),
        draft.contiguous(),
        count,
        length,
        epsilon,
        alpha,
        CAPPED=False,
        BLOCK=min(TILES.on(draft)["block"], power_of_two(length)),
    )
    return accepted


def verify_tree(
    draft: torch.Tensor, target: torch.Tensor, parents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The longest branch of a tree of drafts that a greedy model follows.

    draft [rows, nodes] tokens (node 0 stands for what was there before), target [rows, nodes] the model's
    choice after each node, parents [nodes] each node's parent, before it. Gives the number of accepted tokens
    and the last accepted node, both [rows] int32. Raises ArgumentError.
    """
    if draft.ndim != 2 or target.shape != draft.shape or parents.shape != draft.shape[1:]:
        raise ArgumentError(
            f"verify_tree: draft {tuple(draft.shape)}, target {tuple(target.shape)} and parents "
            f"{tuple(parents.shape)} must be twice [rows, nodes] and [nodes]"
        )
    rows, nodes = draft.shape
    accepted, last = (torch.empty(rows, dtype=torch.int32, device=draft.device) for _ in range(2))
    launch(
        tree_kernel,
        rows,
        accepted,
        last,
        draft.contiguous(),
        target.contiguous(),
        parents.contiguous(),
        nodes,
        BLOCK=power_of_two(nodes),
    )
    return accepted, last


# ---- records --------------------------------------------------------------------------------------


def _scores_reference(
    logits: torch.Tensor,
    scores: torch.Tensor,
    finished: torch.Tensor | None = None,
    end: int = -1,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    result = logits.log_softmax(-1) + scores[:, None]
    if finished is None:
        return result
    alone = torch.full_like(result, -torch.inf)
    alone[:, end] = scores
    return torch.where(finished[:, None], alone, result)


def _best_reference(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, ...]:
    values, at = (x[:, :k] for x in scores.flatten(1).sort(descending=True, stable=True))
    return values, at // scores.shape[2], at % scores.shape[2]


def _typical_reference(
    draft: torch.Tensor, logits: torch.Tensor, epsilon: float = 0.09, alpha: float = 0.3
) -> torch.Tensor:
    share = logits[:, :-1].softmax(-1)
    entropy = -(share * share.log()).sum(-1)
    bound = (alpha * (-entropy).exp()).clamp(max=epsilon)
    good = share.gather(-1, draft.long()[..., None])[..., 0] > bound
    return good.long().cumprod(-1).sum(-1)


def _tree_reference(
    draft: torch.Tensor, target: torch.Tensor, parents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    accepted, last = [], []
    for guesses, wanted in zip(draft.tolist(), target.tolist(), strict=True):
        depths = {0: 0}
        for node in range(1, len(guesses)):
            parent = int(parents[node])
            if parent in depths and wanted[parent] == guesses[node]:
                depths[node] = depths[parent] + 1
        accepted.append(max(depths.values()))
        last.append(min(node for node, depth in depths.items() if depth == accepted[-1]))
    return torch.tensor(accepted), torch.tensor(last)


def _scores_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 7), dtype), tensor((4,), torch.float32)))
    done = torch.tensor([False, True, False])
    yield Sample((tensor((3000, 3), dtype).t(), tensor((3,), torch.float32), done, 5))


def _best_samples(dtype: torch.dtype) -> Iterable[Sample]:
    scores = tensor((3, 4, 7), dtype)
    scores[1] = 0.5
    yield Sample((scores, 8))
    yield Sample((tensor((2, 900, 3), dtype).transpose(1, 2), 4))


def _typical_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, count, length in ((8, 3, 7), (3, 2, 3000)):
        draft = torch.randint(0, length, (rows, count), generator=torch.Generator().manual_seed(3))
        yield Sample((draft, tensor((rows, count + 1, length), dtype)))


def _tree_samples(dtype: torch.dtype) -> Iterable[Sample]:
    generator = torch.Generator().manual_seed(1)
    draft, target = (torch.randint(0, 2, (9, 7), generator=generator) for _ in range(2))
    yield Sample((draft, target, torch.tensor([0, 0, 0, 1, 1, 2, 3])))


register(
    Fused(
        "beam_search_scores",
        "sampling",
        beam_search_scores,
        _scores_reference,
        _scores_samples,
        (beam_scores_kernel,),
    )
)
for _function, _plain, _draw, _kernel in (
    (best_beams, _best_reference, _best_samples, best_beams_kernel),
    (verify_typical, _typical_reference, _typical_samples, typical_kernel),
    (verify_tree, _tree_reference, _tree_samples, tree_kernel),
):
    register(
        Fused(_function.__name__, "sampling", _function, _plain, _draw, (_kernel,), dtypes=(torch.float32,))
    )

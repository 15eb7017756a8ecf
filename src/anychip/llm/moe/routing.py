"""Which experts a token goes to: the largest of the softmax, or the largest sigmoids within the best groups
(DeepSeek-V3, arXiv:2412.19437). Flows in: a router's logits [tokens, experts]. Flows out: weights
[tokens, k] in float32 and expert numbers [tokens, k] in int32, the largest first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .routing_kernels import (
    grouped_topk_kernel,
    sigmoid,
    softplus_sqrt,
    topk_scores_kernel,
    topk_softmax_kernel,
)

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

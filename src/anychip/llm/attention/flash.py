"""Attention over packed or dense sequences with everything language models ask of it: causality, sliding
windows, shared heads of keys, linear biases (ALiBi, Press et al., 2022), capped scores, sinks (Xiao et al.,
2023), and gradients. Flows in: queries, keys, values. Flows out: the weighted values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .backward import (
    flash_delta_kernel,
    flash_key_gradient_kernel,
    flash_query_gradient_kernel,
    flash_sink_gradient_kernel,
)
from .forward import flash_kernel
from .scores import UNLIMITED

TILES = Tiles(
    simt={"rows": 64, "bytes": 1 << 14, "backward_rows": 32, "backward_bytes": 1 << 13},
    simd={"rows": 64, "bytes": 1 << 20, "backward_rows": 64, "backward_bytes": 1 << 20},
)
"""Rows of a tile of queries or keys, at most, and its bytes: a GPU keeps several in its shared memory."""

# ---- forward, backward ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What attention of tensors [rows, heads, width] depends on besides them. Without starts there are
    `batch` sequences of the longest length."""

    batch: int
    longest_query: int
    longest_key: int
    left: int
    right: int
    scale: float
    soft_cap: float

    def sizes(self, query: torch.Tensor, value: torch.Tensor) -> tuple[Any, ...]:
        return (
            (self.longest_query, self.longest_key),
            query.shape[1],
            query.shape[2],
            value.shape[2],
            (min(self.left, UNLIMITED), min(self.right, UNLIMITED)),
            self.scale,
            self.soft_cap,
        )


def _blocks(form: Form, query: torch.Tensor, value: torch.Tensor, direction: str = "") -> dict[str, Any]:
    tiles = TILES.on(query)
    width, value_width = (max(16, power_of_two(x.shape[2])) for x in (query, value))
    fitting = tiles[direction + "bytes"] // (max(width, value_width) * query.element_size())
    rows = min(tiles[direction + "rows"], fitting)
    return {
        "BLOCK_M": max(16, min(rows, power_of_two(form.longest_query))),
        "BLOCK_N": max(16, min(rows, power_of_two(form.longest_key))),
        "BLOCK_D": width,
        "BLOCK_V": value_width,
    }


class Flash(torch.autograd.Function):
    """Tensors are [rows, heads, width], the rows of one sequence after those of the other."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        query_starts: torch.Tensor | None,
        key_starts: torch.Tensor | None,
        slopes: torch.Tensor | None,
        mask: torch.Tensor | None,
        sinks: torch.Tensor | None,
        form: Form,
    ) -> torch.Tensor:
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        rows, heads, _ = query.shape
        out = torch.empty((rows, heads, value.shape[2]), dtype=query.dtype, device=query.device)
        sums = torch.empty((rows, heads), dtype=torch.float32, device=query.device)
        blocks = _blocks(form, query, value)
        constants: dict[str, Any] = {
            "SHARING": heads // max(1, key.shape[1]),
            "CAPPED": form.soft_cap > 0.0,
            "BIASED": slopes is not None,
        }
        grid = (cdiv(form.longest_query, blocks["BLOCK_M"]), heads, form.batch)
        launch(
            flash_kernel,
            grid,
            out,
            sums,
            query,
            key,
            value,
            query_starts,
            key_starts,
            slopes,
            mask,
            sinks,
            *form.sizes(query, value),
            _strides(mask),
            **constants,
            **blocks,
        )
        ctx.save_for_backward(sinks, query, key, value, out, sums, query_starts, key_starts, slopes, mask)
        ctx.form, ctx.constants = form, constants
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        gradient = grad_outputs[0].contiguous()
        sinks, query, key, value, out, sums, *shared = ctx.saved_tensors
        form = ctx.form
        blocks = _blocks(form, query, value, "backward_")
        dq, dk, dv = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        delta = torch.empty_like(sums)
        launch(
            flash_delta_kernel,
            sums.numel(),
            delta,
            out,
            gradient,
            out.shape[2],
            BLOCK=power_of_two(out.shape[2]),
        )
        sizes = *form.sizes(query, value), _strides(shared[-1])
        given = (gradient, delta, sums, query, key, value, *shared, *sizes)
        grid = (cdiv(form.longest_query, blocks["BLOCK_M"]), query.shape[1], form.batch)
        launch(flash_query_gradient_kernel, grid, dq, *given, **ctx.constants, **blocks)
        grid = (cdiv(form.longest_key, blocks["BLOCK_N"]), key.shape[1], form.batch)
        launch(flash_key_gradient_kernel, grid, dk, dv, *given, **ctx.constants, **blocks)
        dsinks = None
        if sinks is not None and ctx.needs_input_grad[7]:
            dsinks = torch.empty_like(sinks)
            rows, heads = sums.shape
            launch(flash_sink_gradient_kernel, heads, dsinks, sinks, delta, sums, rows, heads, BLOCK=256)
        return dq, dk, dv, None, None, None, None, dsinks, None


def _checked(
    name: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rank: int,
    slopes: torch.Tensor | None,
    sinks: torch.Tensor | None = None,
) -> None:
    if not query.ndim == key.ndim == value.ndim == rank:
        raise ArgumentError(
            f"{name}: expected tensors of {rank} dimensions, got {tuple(query.shape)}, {tuple(key.shape)}, "
            f"{tuple(value.shape)}"
        )
    heads, shared = query.shape[-2], key.shape[-2]
    if (
        query.shape[-1] != key.shape[-1]
        or key.shape[:-1] != value.shape[:-1]
        or shared == 0
        or heads % shared
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)} do not fit keys {tuple(key.shape)} and values "
            f"{tuple(value.shape)}; queries and keys need one width, and queries a multiple of their heads"
        )
    for what, given in (("slopes", slopes), ("sinks", sinks)):
        if given is not None and given.shape != (heads,):
            raise ArgumentError(f"{name}: expected {heads} {what}, one a head, got {tuple(given.shape)}")


def _strides(mask: torch.Tensor | None) -> tuple[int, ...]:
    return (0, 0, 0, 0) if mask is None else mask.stride()


def _expanded(mask: torch.Tensor | None, shape: tuple[int, int, int, int]) -> torch.Tensor | None:
    """A mask as the kernels take it: of the whole shape by strides of 0, bytes for booleans."""
    if mask is None:
        return None
    if mask.requires_grad or not (mask.dtype is torch.bool or mask.is_floating_point()):
        raise ArgumentError(
            f"flash_attention: a mask is boolean, or floating and added without a gradient of its own, not "
            f"{mask.dtype}{' with requires_grad' if mask.requires_grad else ''}"
        )
    if mask.ndim != 4 or any(given not in (1, size) for given, size in zip(mask.shape, shape, strict=True)):
        raise ArgumentError(
            f"flash_attention: a mask of shape {tuple(mask.shape)} does not broadcast to {shape}, [batch, "
            f"heads, queries, keys]"
        )
    return (mask.view(torch.uint8) if mask.dtype is torch.bool else mask).expand(shape)


def _contiguous(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else x.contiguous()


def _window(causal: bool, window: tuple[int, int]) -> tuple[int, int]:
    left, right = (UNLIMITED if side < 0 else side for side in window)
    return left, 0 if causal else right


def flash_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    slopes: torch.Tensor | None = None,
    soft_cap: float = 0.0,
    scale: float | None = None,
    sinks: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(f(scale q k^T)) v of dense sequences, laid out tokens first.

    query [batch, m, heads, width], key [batch, n, key heads, width], value [batch, n, key heads, value
    width], heads a multiple of key heads; gives [batch, m, heads, value width]. The last query stands at the
    last key: query i is at p = i + n - m. Keys p - left to p + right are seen for `window` (left, right), -1
    for no limit; `causal` makes right 0. `soft_cap` c > 0 turns a score s into c tanh(s / c); `slopes`
    [heads] then subtract `slope * abs(p - j)`. A query that sees no key gives zeros. `scale` None is
    1 / sqrt(width). `sinks` [heads] are one more score of each query, which has no value. `mask`, which
    broadcasts to [batch, heads, m, n], says by True what is seen besides, or is added to scores that are
    scaled and capped. Differentiable in query, key, value and sinks. Raises ArgumentError.
    """
    _checked("flash_attention", query, key, value, 4, slopes, sinks)
    if query.shape[0] != key.shape[0]:
        raise ArgumentError(f"flash_attention: {query.shape[0]} sequences of queries, {key.shape[0]} of keys")
    form = Form(
        query.shape[0],
        query.shape[1],
        key.shape[1],
        *_window(causal, window),
        1.0 / math.sqrt(query.shape[-1]) if scale is None else scale,
        soft_cap,
    )
    whole = _expanded(mask, (query.shape[0], query.shape[2], query.shape[1], key.shape[1]))
    packed = (x.flatten(0, 1) for x in (query, key, value))
    out = Flash.apply(*packed, None, None, slopes, whole, _contiguous(sinks), form)
    return out.view(query.shape[0], query.shape[1], *out.shape[1:])


def flash_attention_packed(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_starts: torch.Tensor,
    key_starts: torch.Tensor,
    longest_query: int,
    longest_key: int,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    slopes: torch.Tensor | None = None,
    soft_cap: float = 0.0,
    scale: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """`flash_attention` of sequences of various lengths, one after the other without padding.

    query [rows, heads, width], key and value [rows of keys, key heads, width]; sequence i has rows
    starts[i] to starts[i + 1] - 1, starts [sequences + 1] integers from 0; `longest_query` and
    `longest_key` are at least the largest lengths. Differentiable in query, key, value and
    sinks. Raises ArgumentError.
    """
    _checked("flash_attention_packed", query, key, value, 3, slopes, sinks)
    if query_starts.ndim != 1 or query_starts.shape != key_starts.shape or not query_starts.numel():
        raise ArgumentError(
            f"flash_attention_packed: expected starts of both kinds [sequences + 1], got "
            f"{tuple(query_starts.shape)} and {tuple(key_starts.shape)}"
        )
    form = Form(
        query_starts.numel() - 1,
        longest_query,
        longest_key,
        *_window(causal, window),
        1.0 / math.sqrt(query.shape[-1]) if scale is None else scale,
        soft_cap,
    )
    starts = query_starts.contiguous(), key_starts.contiguous()
    return Flash.apply(query, key, value, *starts, slopes, None, _contiguous(sinks), form)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    slopes: torch.Tensor | None = None,
    soft_cap: float = 0.0,
    scale: float | None = None,
    sinks: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    m, n, sharing = query.shape[1], key.shape[1], query.shape[2] // key.shape[2]
    key, value = (x.repeat_interleave(sharing, 2) for x in (key, value))
    score = torch.einsum("bmhd,bnhd->bhmn", query, key)
    score = score / math.sqrt(query.shape[-1]) if scale is None else score * scale
    if soft_cap:
        score = soft_cap * torch.tanh(score / soft_cap)
    distance = torch.arange(n) - (torch.arange(m)[:, None] + n - m)
    if slopes is not None:
        score = score - slopes.detach().double()[:, None, None] * distance.abs()
    seen = torch.ones(m, n, dtype=torch.bool)
    if window[0] >= 0:
        seen &= distance >= -window[0]
    if window[1] >= 0:
        seen &= distance <= window[1]
    if causal:
        seen &= distance <= 0
    if mask is not None and mask.dtype is torch.bool:
        seen = seen & mask
    elif mask is not None:
        score = score + mask
    score = score.masked_fill(~seen, -1e30)
    if sinks is not None:
        score = torch.cat([score, sinks[:, None, None].expand(*score.shape[:3], 1)], -1)
    weight = score.softmax(-1)[..., :n] * seen.any(-1, keepdim=True)
    return torch.einsum("bhmn,bnhd->bmhd", weight, value)


def packed_reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_starts: torch.Tensor,
    key_starts: torch.Tensor,
    longest_query: int,
    longest_key: int,
    *arguments: Any,
    **keywords: Any,
) -> torch.Tensor:
    parts = []
    q, k = query_starts.tolist(), key_starts.tolist()
    for i in range(len(q) - 1):
        rows, columns = slice(q[i], q[i + 1]), slice(k[i], k[i + 1])
        given = query[None, rows], key[None, columns], value[None, columns]
        parts.append(_reference(*given, *arguments, **keywords)[0])
    return torch.cat(parts)


def _operands(
    dtype: torch.dtype, lead: int, m: int, n: int, heads: int, shared: int, width: int, value_width: int
) -> tuple[torch.Tensor, ...]:
    shapes = ((lead, m, heads, width), (lead, n, shared, width), (lead, n, shared, value_width))
    return tuple(tensor(s, dtype, -1, 1, seed=i) for i, s in enumerate(shapes))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    slopes = torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64)
    heads_first = (
        x.transpose(1, 2).contiguous().transpose(1, 2) for x in _operands(dtype, 2, 9, 5, 3, 1, 8, 8)
    )
    yield Sample((*heads_first, True), {"soft_cap": 2.0, "slopes": slopes, "scale": 0.4})
    yield Sample((*_operands(dtype, 1, 70, 90, 4, 2, 16, 16), False, (20, 5)))
    sinks = tensor((4,), dtype, -1, 1)
    yield Sample((*_operands(dtype, 1, 70, 70, 4, 2, 16, 16), True, (30, -1), None, 0.0, None, sinks))
    scattered = torch.rand(2, 1, 9, 20, generator=torch.Generator().manual_seed(1)) < 0.4
    scattered[1, 0, 3] = False
    yield Sample((*_operands(dtype, 2, 9, 20, 4, 2, 16, 16), True), {"mask": scattered})
    added = torch.randn(4, 1, 20, generator=torch.Generator().manual_seed(2)).double()[None]
    yield Sample((*_operands(dtype, 2, 9, 20, 4, 2, 16, 16),), {"mask": added})


def _packed_samples(dtype: torch.dtype) -> Iterable[Sample]:
    q_starts, k_starts = torch.tensor([0, 3, 3, 20]).int(), torch.tensor([0, 6, 8, 90]).int()
    for keywords in ({"causal": True}, {"window": (4, 1), "soft_cap": 1.5}):
        q, k, v = _operands(dtype, 1, 20, 90, 4, 2, 24, 16)
        yield Sample((q[0], k[0], v[0], q_starts, k_starts, 17, 82), keywords)


_KERNELS = (
    flash_kernel,
    flash_delta_kernel,
    flash_query_gradient_kernel,
    flash_key_gradient_kernel,
    flash_sink_gradient_kernel,
)
register(
    Fused(
        "flash_attention", "attention", flash_attention, _reference, _samples, _KERNELS, differentiable=True
    )
)
register(
    Fused(
        "flash_attention_packed",
        "attention",
        flash_attention_packed,
        packed_reference,
        _packed_samples,
        _KERNELS,
        differentiable=True,
    )
)

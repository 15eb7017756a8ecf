"""Which tokens sparse attention is to see: the numbers of the largest scores of a row, and tokens turned into
slots of a paged cache behind the newest ones. Flows in: scores, or numbers of tokens. Flows out: numbers, or
slots."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from ..sampling.logits import ordered

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def top_k_row_kernel(out, scores, starts, ends, k, columns, BLOCK: tl.constexpr):
    """The numbers of the k largest scores of one row, in order of place, -1 where the row has fewer; of equal
    scores at the bound the first. The bound is found bit by bit."""
    row = tl.program_id(0).to(tl.int64)
    first_column = 0
    if starts is not None:
        first_column = tl.load(starts + row).to(tl.int32)
    last_column = columns
    if ends is not None:
        last_column = tl.minimum(columns, tl.load(ends + row).to(tl.int32))
    line = scores + row * columns
    threshold = tl.zeros((), tl.int64)
    for turn in range(32):
        trial = threshold + (tl.full((), 1, tl.int64) << (31 - turn))
        count = tl.zeros((BLOCK,), tl.int32)
        for first in range(first_column, last_column, BLOCK):
            lane = first + tl.arange(0, BLOCK)
            mask = lane < last_column
            x = tl.load(line + lane, mask=mask, other=0.0).to(tl.float32)
            count += (mask & (ordered(x) >= trial)).to(tl.int32)
        threshold = tl.where(tl.sum(count, 0) >= k, trial, threshold)
    above = tl.zeros((BLOCK,), tl.int32)
    for first in range(first_column, last_column, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < last_column
        x = tl.load(line + lane, mask=mask, other=0.0).to(tl.float32)
        above += (mask & (ordered(x) > threshold)).to(tl.int32)
    equals_left = k - tl.sum(above, 0)
    taken = tl.zeros((), tl.int32)
    for first in range(first_column, last_column, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < last_column
        rank = ordered(tl.load(line + lane, mask=mask, other=0.0).to(tl.float32))
        equal = (mask & (rank == threshold)).to(tl.int32)
        chosen = (mask & (rank > threshold)) | ((equal == 1) & (tl.cumsum(equal, 0) <= equals_left))
        equals_left -= tl.minimum(tl.sum(equal, 0), tl.maximum(equals_left, 0))
        ones = chosen.to(tl.int32)
        place = taken + tl.cumsum(ones, 0) - 1
        tl.store(out + row * k + place, lane - first_column, mask=chosen & (place < k))
        taken += tl.sum(ones, 0)
    for first in range(0, k, BLOCK):
        place = first + tl.arange(0, BLOCK)
        tl.store(out + row * k + place, tl.full((BLOCK,), -1, tl.int32), mask=(place < k) & (place >= taken))


@triton.jit
def token_slots_kernel(
    slots,
    counts,
    tokens,
    sequences,
    tables,
    lengths,
    most,
    window,
    page_size,
    most_pages,
    total,
    BLOCK: tl.constexpr,
):
    """One query's chosen tokens as slots of the paged cache, behind the `window` newest of its sequence."""
    row = tl.program_id(0).to(tl.int64)
    sequence = tl.load(sequences + row).to(tl.int64)
    length = tl.load(lengths + row).to(tl.int32)
    recent = tl.minimum(window, length)
    taken = recent
    for first in range(0, window, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        token = length - recent + lane
        mask = lane < recent
        page = tl.load(tables + sequence * most_pages + token // page_size, mask=mask, other=0)
        slot = page.to(tl.int64) * page_size + token % page_size
        tl.store(slots + row * total + lane, slot.to(tl.int32), mask=mask)
    for first in range(0, most, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        token = tl.load(tokens + row * most + lane, mask=lane < most, other=-1).to(tl.int32)
        mask = (token >= 0) & (token < length - recent)
        page = tl.load(tables + sequence * most_pages + token // page_size, mask=mask, other=0)
        slot = page.to(tl.int64) * page_size + token % page_size
        ones = mask.to(tl.int32)
        place = taken + tl.cumsum(ones, 0) - 1
        tl.store(slots + row * total + place, slot.to(tl.int32), mask=mask)
        taken += tl.sum(ones, 0)
    for first in range(0, total, BLOCK):
        place = first + tl.arange(0, BLOCK)
        tl.store(
            slots + row * total + place,
            tl.full((BLOCK,), -1, tl.int32),
            mask=(place < total) & (place >= taken),
        )
    tl.store(counts + row, taken)


# ---- functions ------------------------------------------------------------------------------------


def top_k_rows(
    scores: torch.Tensor, k: int, starts: torch.Tensor | None = None, ends: torch.Tensor | None = None
) -> torch.Tensor:
    """The numbers of the k largest scores of each row, counted from starts, in order of place; -1 where there
    are fewer. Of equal ones at the bound the first are taken.

    scores [rows, columns] floating, starts and ends [rows] integers bounding each row. Gives [rows, k] int32.
    Raises ArgumentError.
    """
    rows = scores.shape[0] if scores.ndim == 2 else -1
    if rows < 0 or k < 1 or any(x is not None and x.shape != (rows,) for x in (starts, ends)):
        raise ArgumentError(
            f"top_k_rows: expected scores [rows, columns], k of 1 or more, and bounds [rows], got "
            f"{tuple(scores.shape)} and {k}"
        )
    out = torch.empty((rows, k), dtype=torch.int32, device=scores.device)
    launch(
        top_k_row_kernel,
        rows,
        out,
        scores.contiguous(),
        starts,
        ends,
        k,
        scores.shape[1],
        BLOCK=min(1024, power_of_two(scores.shape[1])),
    )
    return out


def token_slots(
    tokens: torch.Tensor,
    sequences: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    page_size: int,
    window: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Chosen tokens of a sequence as slots of the paged cache, after the `window` newest tokens.

    tokens [rows, most] integers (-1: none), sequences [rows] the row of `tables` [..., most pages], lengths
    [rows] how many tokens the row sees; chosen tokens among the newest are not repeated. Gives slots
    [rows, window + most] int32, -1 behind the last, and their counts [rows]. Raises ArgumentError.
    """
    rows = tokens.shape[0] if tokens.ndim == 2 else -1
    fit = sequences.shape == lengths.shape == (rows,) and tables.ndim == 2
    if not fit or page_size < 1 or window < 0:
        raise ArgumentError(
            f"token_slots: tokens {tuple(tokens.shape)}, sequences {tuple(sequences.shape)}, lengths "
            f"{tuple(lengths.shape)}, tables {tuple(tables.shape)}, pages of {page_size}, window {window}"
        )
    most = tokens.shape[1]
    slots = torch.empty((rows, window + most), dtype=torch.int32, device=tokens.device)
    counts = torch.empty(rows, dtype=torch.int32, device=tokens.device)
    launch(
        token_slots_kernel,
        rows,
        slots,
        counts,
        tokens.contiguous(),
        sequences.contiguous(),
        tables.contiguous(),
        lengths.contiguous(),
        most,
        window,
        page_size,
        tables.shape[1],
        window + most,
        BLOCK=min(1024, power_of_two(max(window, most))),
    )
    return slots, counts


# ---- records --------------------------------------------------------------------------------------


def _top_k_reference(
    scores: torch.Tensor, k: int, starts: torch.Tensor | None = None, ends: torch.Tensor | None = None
) -> torch.Tensor:
    out = torch.full((len(scores), k), -1)
    for i, line in enumerate(scores):
        part = line[slice(None if starts is None else int(starts[i]), None if ends is None else int(ends[i]))]
        chosen = part.sort(descending=True, stable=True).indices[:k].sort().values
        out[i, : len(chosen)] = chosen
    return out


def _slots_reference(
    tokens: torch.Tensor,
    sequences: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    page_size: int,
    window: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.full((tokens.shape[0], tokens.shape[1] + window), -1)
    counts = []
    for i, (sequence, length) in enumerate(zip(sequences.tolist(), lengths.tolist(), strict=True)):
        recent = list(range(max(0, length - window), length))
        chosen = recent + [t for t in tokens[i].tolist() if 0 <= t < length - len(recent)]
        for place, t in enumerate(chosen):
            out[i, place] = int(tables[sequence, t // page_size]) * page_size + t % page_size
        counts.append(len(chosen))
    return out, torch.tensor(counts)


def _top_k_samples(dtype: torch.dtype) -> Iterable[Sample]:
    scores = tensor((4, 70), dtype)
    scores[1] = 0.5
    scores[2, 30:] = -torch.inf
    yield Sample((scores, 9))
    bounds = torch.tensor([3, 0, 60, 9]), torch.tensor([40, 70, 65, 9])
    yield Sample((tensor((70, 4), dtype).t(), 16, *bounds))


def _slots_samples(dtype: torch.dtype) -> Iterable[Sample]:
    tables = torch.tensor([[5, 2, 0], [7, 1, 3]], dtype=torch.int32)
    tokens = torch.tensor([[0, 4, 9, -1], [1, 2, 3, 20], [3, -1, -1, -1]])
    given = torch.tensor([0, 1, 1]), tables, torch.tensor([11, 24, 2])
    yield Sample((tokens, *given, 8))
    yield Sample((tokens.int(), *given, 8, 5))


register(Fused("top_k_rows", "sampling", top_k_rows, _top_k_reference, _top_k_samples, (top_k_row_kernel,)))
register(
    Fused(
        "token_slots",
        "cache",
        token_slots,
        _slots_reference,
        _slots_samples,
        (token_slots_kernel,),
        dtypes=(torch.float32,),
    )
)

"""Sequences of various lengths between two forms: one after the other, and padded to one length, with
gradients. Flows in: rows [rows, width] or [sequences, longest, width], and the sequences' starts. Flows out:
the other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

BLOCK = 1024

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def pad_sequences_kernel(
    padded, rows, starts, longest, width, fill, TO_ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """One place of one sequence: filled from its row, or with `fill`; the row from its place with TO_ROWS."""
    place = tl.program_id(0)
    sequence = tl.program_id(1).to(tl.int64)
    first = tl.load(starts + sequence).to(tl.int64)
    inside = place < tl.load(starts + sequence + 1).to(tl.int64) - first
    for begin in range(0, width, BLOCK):
        lane = begin + tl.arange(0, BLOCK)
        at_row = (first + place) * width + lane
        at_place = (sequence * longest + place) * width + lane
        if TO_ROWS:
            value = tl.load(padded + at_place, mask=(lane < width) & inside)
            tl.store(rows + at_row, value, mask=(lane < width) & inside)
        else:
            value = tl.load(rows + at_row, mask=(lane < width) & inside, other=0).to(padded.dtype.element_ty)
            filler = tl.full((BLOCK,), fill, padded.dtype.element_ty)
            tl.store(padded + at_place, tl.where(inside, value, filler), mask=lane < width)


# ---- forward, backward ----------------------------------------------------------------------------


def _move(
    padded: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor, fill: float, to_rows: bool
) -> torch.Tensor:
    sequences, longest, width = padded.shape
    launch(
        pad_sequences_kernel,
        (longest, sequences),
        padded,
        rows,
        starts,
        longest,
        width,
        fill,
        TO_ROWS=to_rows,
        BLOCK=min(BLOCK, power_of_two(width)),
    )
    return rows if to_rows else padded


class Pad(torch.autograd.Function):
    """The gradient of padding is what stands at the rows' places."""

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, starts: torch.Tensor, longest: int, fill: float
    ) -> torch.Tensor:
        """Packed rows [total, ...] as [sequences, longest, ...], filled up with `fill`; `starts` are where
        sequences begin."""
        rows, starts = rows.contiguous(), starts.contiguous()
        ctx.save_for_backward(starts)
        ctx.shape = rows.shape
        shape = (starts.numel() - 1, longest, rows.shape[1])
        padded = torch.empty(shape, dtype=rows.dtype, device=rows.device)
        return _move(padded, rows, starts, fill, False)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the rows: what stands at their places."""
        gradient = grad_outputs[0].contiguous()
        (starts,) = ctx.saved_tensors
        rows = torch.zeros(ctx.shape, dtype=gradient.dtype, device=gradient.device)
        return _move(gradient, rows, starts, 0.0, True), None, None, None


class Unpad(torch.autograd.Function):
    """The gradient of padding has none."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, starts: torch.Tensor, count: int) -> torch.Tensor:
        """The `count` rows of [sequences, longest, ...] that belong to sequences, one after the other."""
        padded, starts = padded.contiguous(), starts.contiguous()
        ctx.save_for_backward(starts)
        ctx.shape = padded.shape
        rows = torch.zeros((count, padded.shape[2]), dtype=padded.dtype, device=padded.device)
        return _move(padded, rows, starts, 0.0, True)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the padded tensor: zeros where there was padding."""
        gradient = grad_outputs[0].contiguous()
        (starts,) = ctx.saved_tensors
        padded = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device)
        return _move(padded, gradient, starts, 0.0, False), None, None


def pad_sequences(rows: torch.Tensor, starts: torch.Tensor, longest: int, fill: float = 0.0) -> torch.Tensor:
    """Sequences that follow one another as [sequences, longest, width], `fill` behind the end of each.

    rows [rows, width], starts [sequences + 1] integers: sequence s has rows starts[s] to starts[s + 1] - 1,
    of which those beyond `longest` are left out. Differentiable in rows. Raises ArgumentError.
    """
    if rows.ndim != 2 or starts.ndim != 1 or not starts.numel() or longest < 0:
        raise ArgumentError(
            f"pad_sequences: expected rows [rows, width] and starts [sequences + 1], got "
            f"{tuple(rows.shape)}, {tuple(starts.shape)} and a length of {longest}"
        )
    return Pad.apply(rows, starts, longest, fill)


def unpad_sequences(padded: torch.Tensor, starts: torch.Tensor, rows: int) -> torch.Tensor:
    """The opposite of `pad_sequences`: padded [sequences, longest, width] to [rows, width], where a row that
    no place fills is zeros. Differentiable in padded. Raises ArgumentError."""
    if padded.ndim != 3 or starts.shape != (padded.shape[0] + 1,) or rows < 0:
        raise ArgumentError(
            f"unpad_sequences: expected [sequences, longest, width] and starts [sequences + 1], got "
            f"{tuple(padded.shape)}, {tuple(starts.shape)} and {rows} rows"
        )
    return Unpad.apply(padded, starts, rows)


# ---- records --------------------------------------------------------------------------------------


def _pad_reference(rows: torch.Tensor, starts: torch.Tensor, longest: int, fill: float = 0.0) -> torch.Tensor:
    bounds = starts.tolist()
    parts = [rows[a:b][:longest] for a, b in pairwise(bounds)]
    return torch.stack(
        [torch.cat([part, part.new_full((longest - len(part), rows.shape[1]), fill)]) for part in parts]
    )


def _unpad_reference(padded: torch.Tensor, starts: torch.Tensor, rows: int) -> torch.Tensor:
    parts = [line[:length] for line, length in zip(padded, starts.diff().tolist(), strict=True)]
    return torch.cat(parts)


def _pad_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((9, 7), dtype), torch.tensor([0, 3, 3, 9]), 6, -1.5))
    yield Sample((tensor((300, 20), dtype).t(), torch.tensor([0, 15, 20]).int(), 8))


def _unpad_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 6, 7), dtype), torch.tensor([0, 3, 3, 9]), 9))
    yield Sample((tensor((2, 300, 8), dtype).transpose(1, 2), torch.tensor([0, 8, 12]).int(), 12))


for _function, _plain, _draw in (
    (pad_sequences, _pad_reference, _pad_samples),
    (unpad_sequences, _unpad_reference, _unpad_samples),
):
    register(
        Fused(
            _function.__name__,
            "cache",
            _function,
            _plain,
            _draw,
            (pad_sequences_kernel,),
            differentiable=True,
        )
    )

"""Cross entropy over a vocabulary: from logits, and fused with the linear layer that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ..case import Case, Work, integers, moved, normal

FAMILY = "cross entropy"

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def cross_entropy_kernel(loss, logits, labels, length, BLOCK: tl.constexpr):
    """Minus the logarithm of the label's probability, for one row, in one pass over it."""
    row = tl.program_id(0).to(tl.int64)
    logits += row * length
    label = tl.load(labels + row)
    lane = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for first in range(0, length, BLOCK):
        x = tl.load(logits + first + lane, mask=lane < length - first, other=float("-inf")).to(tl.float32)
        update = tl.maximum(largest, tl.max(x, 0))
        total = total * tl.exp(largest - update) + tl.sum(tl.exp(x - update), 0)
        largest = update
    wanted = tl.load(logits + label).to(tl.float32)
    tl.store(loss + row, largest + tl.log(total) - wanted)


@triton.jit
def linear_cross_entropy_kernel(
    largest_out,
    total_out,
    wanted_out,
    hidden,
    weight,
    labels,
    rows,
    classes,
    width,
    classes_of_part,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """For BM rows and one part of the classes: the largest logit, the sum of exponentials over it, and the
    label's logit where the label is in this part (else 0). The logits are never in memory."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    part = tl.program_id(1)
    lane_n, lane_k = tl.arange(0, BN), tl.arange(0, BK)
    in_row = row < rows
    label = tl.load(labels + row, mask=in_row, other=-1)
    at_row = row.to(tl.int64) * width
    largest = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    wanted = tl.zeros((BM,), tl.float32)
    last = tl.minimum((part + 1) * classes_of_part, classes)
    for first in range(part * classes_of_part, last, BN):
        column = first + lane_n
        at_column = column.to(tl.int64) * width
        logits = tl.zeros((BM, BN), tl.float32)
        for k in range(0, width, BK):
            in_k = lane_k < width - k
            h = tl.load(
                hidden + at_row[:, None] + (k + lane_k)[None, :],
                mask=in_row[:, None] & in_k[None, :],
                other=0.0,
            )
            w = tl.load(
                weight + at_column[None, :] + (k + lane_k)[:, None],
                mask=(column < last)[None, :] & in_k[:, None],
                other=0.0,
            )
            logits = tl.dot(h, w, logits, input_precision="ieee")
        logits = tl.where((column < last)[None, :], logits, float("-inf"))
        update = tl.maximum(largest, tl.max(logits, 1))
        total = total * tl.exp(largest - update) + tl.sum(tl.exp(logits - update[:, None]), 1)
        wanted += tl.sum(
            tl.where(column[None, :] == tl.where(label < last, label, -1)[:, None], logits, 0.0), 1
        )
        largest = update
    at = part * rows + row
    tl.store(largest_out + at, largest, mask=in_row)
    tl.store(total_out + at, total, mask=in_row)
    tl.store(wanted_out + at, wanted, mask=in_row)


@triton.jit
def joined_loss_kernel(loss, largest, total, wanted, rows, parts, PARTS: tl.constexpr, BM: tl.constexpr):
    """The loss of BM rows from what was found for each part of the classes."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    part = tl.arange(0, PARTS)
    inside = (part < parts)[:, None] & (row < rows)[None, :]
    at = part[:, None] * rows + row[None, :]
    m = tl.load(largest + at, mask=inside, other=float("-inf"))
    peak = tl.max(m, 0)
    sums = tl.load(total + at, mask=inside, other=0.0) * tl.exp(m - tl.where(row < rows, peak, 0.0)[None, :])
    label = tl.sum(tl.load(wanted + at, mask=inside, other=0.0), 0)
    tl.store(loss + row, peak + tl.log(tl.sum(sums, 0)) - label, mask=row < rows)


# ---- callables ------------------------------------------------------------------------------------


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each row of contiguous logits."""
    rows, length = logits.shape
    loss = torch.empty(rows, dtype=torch.float32)
    cross_entropy_kernel[(rows,)](
        loss, logits, labels, length, BLOCK=min(4096, triton.next_power_of_2(length))
    )
    return loss


PARTS = 8
"""Parts of the classes: with few rows, programs for all threads."""


def linear_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each row of hidden [rows, width] @ weight [classes, width]^T, which is not kept."""
    (rows, width), classes = hidden.shape, weight.shape[0]
    largest, total, wanted = torch.empty((3, PARTS, rows), dtype=torch.float32).unbind()
    loss = torch.empty(rows, dtype=torch.float32)
    linear_cross_entropy_kernel[(triton.cdiv(rows, 64), PARTS)](
        largest,
        total,
        wanted,
        hidden,
        weight,
        labels,
        rows,
        classes,
        width,
        triton.cdiv(classes, PARTS),
        BM=64,
        BN=64,
        BK=64,
    )
    joined_loss_kernel[(triton.cdiv(rows, 64),)](
        loss, largest, total, wanted, rows, PARTS, PARTS=PARTS, BM=64
    )
    return loss


# ---- cases ----------------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """A vocabulary of 32k, and a small one."""
    for sizes in ((512, 32768), (64, 1024)):
        for dtype in (torch.float32, torch.bfloat16):
            yield Case("cross_entropy", FAMILY, sizes, dtype, lambda s=sizes, d=dtype: _cross_entropy(*s, d))
    for sizes in ((256, 256, 32768), (64, 128, 1024)):
        yield Case(
            "linear_cross_entropy", FAMILY, sizes, torch.float32, lambda s=sizes: _linear_cross_entropy(*s)
        )


def _cross_entropy(rows: int, classes: int, dtype: torch.dtype) -> Work:
    logits, labels = normal(rows, classes, dtype=dtype), integers(classes, rows)

    def jax(j: Any, n: Any, x: Any, labels: Any) -> Any:
        return -n.take_along_axis(j.nn.log_softmax(x, axis=-1), labels[:, None], axis=1)[:, 0]

    return Work(
        (logits, labels),
        cross_entropy,
        lambda x, y: torch.nn.functional.cross_entropy(x, y, reduction="none"),
        bytes=moved(logits, labels),
        flops=12.0 * logits.numel(),
        jax=jax,
    )


def _linear_cross_entropy(rows: int, width: int, classes: int) -> Work:
    hidden, weight = normal(rows, width), normal(classes, width, seed=1) / width**0.5

    def jax(j: Any, n: Any, h: Any, w: Any, labels: Any) -> Any:
        return -n.take_along_axis(j.nn.log_softmax(h @ w.T, axis=-1), labels[:, None], axis=1)[:, 0]

    labels = integers(classes, rows)
    return Work(
        (hidden, weight, labels),
        linear_cross_entropy,
        lambda h, w, y: torch.nn.functional.cross_entropy(h @ w.t(), y, reduction="none"),
        bytes=moved(hidden, weight, labels),
        flops=2.0 * rows * width * classes + 12.0 * rows * classes,
        terms=width,
        jax=jax,
    )

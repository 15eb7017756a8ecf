"""Weights in the order in which products read them. Thirty-two rows lie side by side, a word of 32 bits of
each after the other, so that a vector register holds the same elements of neighbouring rows and no sum
crosses its lanes. The bits are those of the file; only scales of parts, which files squeeze into 6 bits, get
a byte each. Flows in: a weight's bytes as the file has them. Flows out: a `PackedWeight`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...ops.errors import ArgumentError
from .blocks import Codes, taken_apart
from .formats import FORMATS, INNER, PackedFormat

ROWS = 32
"""Rows that lie side by side."""
AT_ONCE = (4, 2, 1)
"""Rows of activations that a program of a product may take, for which it reads and unpacks a weight once."""
AT_A_TIME = 1 << 24
"""Elements that are taken apart at a time, which bounds the memory that loading takes."""


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """A matrix [rows, columns] in groups of ROWS rows, the last one filled up with zeros.

    `low` [groups, columns / 32, words, ROWS] int32: byte k of word j holds lowest bits of the codes of
    elements 4j + k, 4(j + words) + k, ... of 32; `high`, or None, likewise the other bits. `scales` and
    `minimums` [groups, blocks, ROWS] of float16 (MXFP4: float32), `part_scales` int8 and `part_minimums`
    uint8 [groups, parts, ROWS], each None where the format has none.
    """

    format: PackedFormat
    rows: int
    columns: int
    low: torch.Tensor
    high: torch.Tensor | None
    scales: torch.Tensor
    minimums: torch.Tensor | None
    part_scales: torch.Tensor | None
    part_minimums: torch.Tensor | None

    @property
    def bytes(self) -> int:
        """Bytes that a product of one row reads."""
        return sum(x.nbytes for x in self.tensors() if x is not None)

    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        """What a kernel is given, in its order."""
        return self.low, self.high, self.scales, self.minimums, self.part_scales, self.part_minimums


def packed(format: str, data: torch.Tensor, columns: int) -> PackedWeight:
    """The weight of `data` [rows, bytes of a row] uint8, `columns` elements a row.

    Raises ArgumentError for a format that is not served and for bytes that do not make whole blocks.
    """
    known = FORMATS.get(format)
    if known is None:
        raise ArgumentError(f"weights of type {format} are not served; known are {', '.join(FORMATS)}")
    if columns % known.block or data.ndim != 2 or data.shape[1] != columns // known.block * known.bytes:
        raise ArgumentError(
            f"a {format} weight of {columns} columns has rows of {known.bytes} bytes for each {known.block} "
            f"elements, not {tuple(data.shape)}"
        )
    some = max(ROWS, AT_A_TIME // columns // ROWS * ROWS)
    pieces = [_packed(known, data[first : first + some]) for first in range(0, data.shape[0], some)]
    parts = [None if one[0] is None else torch.cat([x for x in one if x is not None]) for one in zip(*pieces)]
    low, _, scales = parts[:3]
    assert low is not None
    assert scales is not None
    return PackedWeight(known, data.shape[0], columns, low, parts[1], scales, *parts[3:])


def packed_codes(format: PackedFormat, made: Codes, columns: int) -> PackedWeight:
    """The weight of rows that are taken apart already, `columns` elements each in whole blocks."""
    rows = made.scales.shape[0]
    low, high, scales, *others = _planes(format, made)
    assert low is not None
    assert scales is not None
    return PackedWeight(format, rows, columns, low, high, scales, *others)


def stacked(weights: Sequence[PackedWeight]) -> PackedWeight | None:
    """One weight of the rows of all, or None where their formats or columns differ, or where one does not end
    with a whole group."""
    first = weights[0]
    if any(w.format is not first.format or w.columns != first.columns or w.rows % ROWS for w in weights):
        return None
    joined = [
        None if x[0] is None else torch.cat([t for t in x if t is not None])
        for x in zip(*(w.tensors() for w in weights))
    ]
    low, _, scales = joined[:3]
    assert low is not None
    assert scales is not None
    return PackedWeight(
        first.format, sum(w.rows for w in weights), first.columns, low, joined[1], scales, *joined[3:]
    )


# ---- planes ---------------------------------------------------------------------------------------


def _packed(format: PackedFormat, data: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The tensors of a number of rows."""
    return _planes(format, taken_apart(format, data))


def _planes(format: PackedFormat, made: Codes) -> tuple[torch.Tensor | None, ...]:
    """The same of rows that are taken apart."""
    low, high = made.words, made.high
    if low is not None:
        low = _side_by_side(low.contiguous().view(torch.int32))
    elif made.codes is not None:
        low = _plane(made.codes & ((1 << format.low) - 1), format.low)
        high = made.codes >> format.low if format.high else None
    numbers = made.scales, made.minimums, made.part_scales, made.part_minimums
    return (
        low,
        None if high is None else _plane(high, format.high),
        *(None if x is None else _side_by_side(x) for x in numbers),
    )


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """[rows, ...] as [groups, ..., ROWS], rows of zeros behind the last one."""
    missing = -x.shape[0] % ROWS
    if missing:
        x = torch.cat([x, x.new_zeros((missing, *x.shape[1:]))])
    return x.unflatten(0, (-1, ROWS)).movedim(1, -1).contiguous()


def _plane(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes of so many bits [rows, columns] as words."""
    words = bits * INNER // 32
    byte = codes.view(codes.shape[0], -1, 8 // bits, words, 4)
    joined = byte[:, :, 0]
    for k in range(1, 8 // bits):
        joined = joined | (byte[:, :, k] << (k * bits))
    return _side_by_side(joined.contiguous().view(torch.int32)[..., 0])

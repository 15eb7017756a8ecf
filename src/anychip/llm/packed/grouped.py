"""Weights whose rows are whole numbers with a scale, and maybe a zero, for each group of neighbouring
columns: what GPTQ, AWQ and compressed-tensors store. Flows in: codes, scales and zeros. Flows out: a
`PackedWeight` of the same numbers, exact in float32, that the kernels of GGUF's formats compute upon."""

from __future__ import annotations

import functools

import torch

from ...ops.errors import ArgumentError
from .blocks import Codes
from .formats import INNER, PackedFormat
from .weights import PackedWeight, packed_codes


@functools.cache
def _format(bits: int, block: int, has_zeros: bool) -> PackedFormat:
    """One object for each kind, so that weights of one kind can be stacked."""
    offset = 8 if bits == 4 and not has_zeros else 0
    name = f"grouped {bits} bits of {block}"
    return PackedFormat(name, block, block * bits // 8, bits, offset=offset, sign=-1 if has_zeros else 0)


def grouped(
    codes: torch.Tensor, bits: int, scales: torch.Tensor, zeros: torch.Tensor | None, group: int
) -> PackedWeight:
    """The weight scales * (codes - zeros).

    codes [rows, columns] uint8 of 4 or 8 bits, scales [rows, groups] floating, zeros [rows, groups] integers
    (None: half of the range), `group` columns a group, the last one possibly shorter. Columns are filled up
    to whole blocks of 32 with codes that count for nothing where activations are zero. Raises ArgumentError
    for groups of other than a multiple of 32 where there are several.
    """
    rows, columns = codes.shape
    groups, middle = scales.shape[1], 1 << (bits - 1)
    if bits not in (4, 8) or scales.shape[0] != rows or (zeros is not None and zeros.shape != scales.shape):
        raise ArgumentError(
            f"grouped: codes {tuple(codes.shape)} of {bits} bits, scales {tuple(scales.shape)}: expected 4 "
            "or 8 bits, and scales (and zeros) of as many rows"
        )
    if not (groups - 1) * group < columns <= groups * group or (groups > 1 and group % INNER):
        raise ArgumentError(
            f"grouped: {groups} groups of {group} columns for {columns}; expected one group, or groups of a "
            f"multiple of {INNER} that cover all columns"
        )
    block = group if groups > 1 else -(-columns // INNER) * INNER
    if columns < groups * block:
        codes = torch.cat([codes, codes.new_full((rows, groups * block - columns), middle)], 1)
    if zeros is not None and bool((zeros == middle).all()):
        zeros = None
    if bits == 8:
        codes = codes ^ 128
    # Exact: a scale of 16 bits and a zero of 8 have 19 significant bits together.
    minimums = None
    if zeros is not None:
        minimums = scales.float() * (zeros - (128 if bits == 8 else 0)).float()
    kept = scales if scales.dtype in (torch.float16, torch.float32) else scales.float()
    made = Codes(kept.contiguous(), minimums, codes=codes)
    return packed_codes(_format(bits, block, zeros is not None), made, groups * block)

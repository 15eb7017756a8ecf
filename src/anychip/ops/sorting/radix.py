"""Stable radix sort of the rows of a matrix, which every operator about order is made of. Values become
unsigned keys of the same order; keys of up to 32 bits travel with their index in one 64-bit word.
Least significant digit first: Knuth, "The Art of Computer Programming", volume 3, section 5.2.5."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.copy import fill_
from .radix_kernels import (
    count_kernel,
    offsets_kernel,
    picked_kernel,
    rank_rows_kernel,
    scatter_kernel,
    sort_rows_kernel,
    words_kernel,
)

TILES = Tiles(
    simt={"short": 64, "block": 1024, "ranked": 128, "bits": 4, "programs": 1, "chunk": 4096},
    simd={"short": 32, "block": 1024, "ranked": 1, "bits": 8, "programs": 32, "chunk": 1 << 16},
)
"""`ranked` elements are put in order at once: on a vector core one after another. There, rows that are
not longer than a chunk are sorted by one program each; `programs` of them run over all rows. Rows of up
to `short` elements are ordered by counting."""

# ---- forward --------------------------------------------------------------------------------------

KERNELS = (
    rank_rows_kernel,
    sort_rows_kernel,
    words_kernel,
    count_kernel,
    offsets_kernel,
    scatter_kernel,
    picked_kernel,
)


def sort_rows(
    source: torch.Tensor,
    descending: bool = False,
    *,
    first: int = 0,
    kept: int | None = None,
    with_values: bool = True,
    tiles: Tiles = TILES,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Sorted values and int64 indices of each row of a contiguous `source` [..., n]; equal elements keep
    their order, NaN counts as the largest. Of each sorted row, elements first to first + kept."""
    if source.dtype not in TRITON_DTYPES:
        raise NotServed("sort", f"dtype {source.dtype} is not served")
    n = source.shape[-1]
    kept = n - first if kept is None else kept
    shape = (*source.shape[:-1], kept)
    values = torch.empty(shape, dtype=source.dtype, device=source.device) if with_values else None
    indices = torch.empty(shape, dtype=torch.int64, device=source.device)
    if not indices.numel():
        return values, indices
    if n >= 1 << 31:
        raise NotServed("sort", f"a row of {n} elements is not served")
    rows = source.numel() // n
    sizes = tiles.on(source)
    if n <= sizes["short"]:
        block_n = power_of_two(n)
        block_r = sizes["block"] // block_n
        launch(
            rank_rows_kernel,
            cdiv(rows, block_r),
            values,
            indices,
            source,
            rows,
            n,
            first,
            kept,
            DESCENDING=descending,
            BLOCK_R=block_r,
            BLOCK_N=block_n,
        )
        return values, indices
    width = 8 * source.element_size()
    wide = width == 64
    bits, block, chunk = sizes["bits"], sizes["block"], sizes["chunk"]
    if n >= chunk // 4 and bits == 8 and width >= 32:
        bits = 11
    low, passes = (0, cdiv(64, bits)) if wide else (32, cdiv(width, bits))
    device = source.device
    if sizes["ranked"] == 1 and (n <= chunk or rows >= sizes["programs"]):
        programs = min(rows, sizes["programs"])
        words = torch.empty((programs, 2, n), dtype=torch.int64, device=device)
        carried = torch.empty((programs, 2, n), dtype=torch.int32, device=device) if wide else None
        table = torch.empty((programs, passes, 1 << bits), dtype=torch.int32, device=device)
        launch(
            sort_rows_kernel,
            programs,
            values,
            indices,
            words,
            carried,
            table,
            source,
            rows,
            n,
            first,
            kept,
            PASSES=passes,
            BITS=bits,
            LOW=low,
            WIDE=wide,
            DESCENDING=descending,
            BLOCK=block,
        )
        return values, indices
    words = torch.empty((2, rows, n), dtype=torch.int64, device=device)
    carried = torch.empty((2, rows, n), dtype=torch.int32, device=device) if wide else (None, None)
    launch(
        words_kernel,
        rows * cdiv(n, block),
        words[0],
        carried[0],
        source,
        rows,
        n,
        WIDE=wide,
        DESCENDING=descending,
        BLOCK=block,
    )
    chunks = cdiv(n, chunk)
    here = 0
    for step in range(passes):
        table = fill_(torch.empty((rows, 1 << bits, chunks), dtype=torch.int32, device=device), 0)
        digit: dict[str, Any] = {"SHIFT": low + step * bits, "BITS": bits, "BLOCK": sizes["ranked"]}
        launch(count_kernel, rows * chunks, table, words[here], n, chunk, chunks, **digit)
        launch(offsets_kernel, rows, table, chunks << bits, BLOCK=block)
        launch(
            scatter_kernel,
            rows * chunks,
            words[1 - here],
            carried[1 - here],
            words[here],
            carried[here],
            table,
            n,
            chunk,
            chunks,
            WIDE=wide,
            **digit,
        )
        here = 1 - here
    launch(
        picked_kernel,
        rows * cdiv(kept, block),
        values,
        indices,
        words[here],
        carried[here],
        source,
        n,
        first,
        kept,
        WIDE=wide,
        BLOCK=block,
    )
    return values, indices

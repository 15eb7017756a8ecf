"""What collectives ask of the shapes and types of their tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .errors import CollectiveError

Tensors = Sequence[torch.Tensor]


def flat(tensor: torch.Tensor) -> torch.Tensor | None:
    """A contiguous tensor as one axis, on its device; None where that is not its memory."""
    detached = tensor.detach()
    return detached.view(-1) if detached.is_contiguous() and not detached.is_conj() else None


def require_rows(name: str, rows: Tensors, size: int) -> None:
    """Raises CollectiveError where there is not one tensor for each of `size` ranks."""
    if len(rows) != size:
        raise CollectiveError(f"{name}: {len(rows)} tensors for {size} ranks.", "Give one for each rank.")


def require_alike(name: str, rows: Tensors, one: torch.Tensor) -> None:
    """Raises CollectiveError where a tensor has another type, or number of elements, than `one`."""
    for index, row in enumerate(rows):
        if row.dtype != one.dtype or row.numel() != one.numel():
            raise CollectiveError(
                f"{name}: tensor {index} is {row.dtype} with {row.numel()} elements, the other side "
                f"{one.dtype} with {one.numel()}.",
                "Both sides must have one type and size.",
            )


def require_times(name: str, size: int, part: torch.Tensor, whole: torch.Tensor) -> None:
    """Raises CollectiveError where `whole` does not have the elements of `size` parts, of one type."""
    if part.dtype != whole.dtype or part.numel() * size != whole.numel():
        raise CollectiveError(
            f"{name}: {part.dtype} with {part.numel()} elements for each of {size} ranks, and {whole.dtype} "
            f"with {whole.numel()} for all.",
            "The whole must have ranks times the elements of a part, of the same type.",
        )


def elements(name: str, tensor: torch.Tensor, splits: Sequence[int], size: int) -> list[int]:
    """How many elements each rank has of a tensor that is split along its first axis. Raises CollectiveError
    where the splits are not one for each of `size` ranks, or not all rows."""
    rows = tensor.shape[0] if tensor.dim() else 1
    if not splits:
        if rows % size:
            raise CollectiveError(f"{name}: {rows} rows for {size} ranks.", "Give the sizes of the splits.")
        splits = [rows // size] * size
    if len(splits) != size or sum(splits) != rows:
        raise CollectiveError(
            f"{name}: splits {list(splits)} of {rows} rows for {size} ranks.",
            "There must be one for each rank, and their sum must be the first axis.",
        )
    width = tensor.numel() // rows if rows else 0
    return [split * width for split in splits]

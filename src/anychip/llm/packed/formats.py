"""The block formats of GGUF files (ggml's quantised types) as data. A block holds so many neighbouring
elements of a row: small whole numbers, a scale, in some formats a minimum, and in those of 256 elements a
second level of scales for parts of the block. All are described by the same few facts, so that one kernel
computes upon all of them."""

from __future__ import annotations

from dataclasses import dataclass

INNER = 32
"""Elements that a product takes at a time: activations are quantised in blocks of so many."""
PART = 16
"""Elements whose activations are summed together, for offsets and minimums: the smallest part of a format."""

IQ4_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""What the sixteen codes of the IQ4 formats stand for."""


@dataclass(frozen=True, slots=True)
class PackedFormat:
    """An element is scale * part's scale * (code - offset) + sign * minimum * part's minimum.

    `block` elements lie in `bytes` bytes of the file. Codes have `low` bits in one plane and `high` more bits
    in another. `part` elements share a scale of the second level, where a block has more than one part.
    `sign` is that of the minimum, 0 where there is none. `table` names codes that stand for other numbers:
    "iq4" or "e2m1" (then twice the number of that float). Codes of 8 bits are signed.
    """

    name: str
    block: int
    bytes: int
    low: int
    high: int = 0
    offset: int = 0
    part: int = INNER
    sign: int = 0
    table: str = ""


FORMATS: dict[str, PackedFormat] = {
    made.name: made
    for made in (
        PackedFormat("Q4_0", 32, 18, 4, offset=8),
        PackedFormat("Q4_1", 32, 20, 4, sign=1),
        PackedFormat("Q5_0", 32, 22, 4, 1, offset=16),
        PackedFormat("Q5_1", 32, 24, 4, 1, sign=1),
        PackedFormat("Q8_0", 32, 34, 8),
        PackedFormat("Q2_K", 256, 84, 2, part=16, sign=-1),
        PackedFormat("Q3_K", 256, 110, 2, 1, offset=4, part=16),
        PackedFormat("Q4_K", 256, 144, 4, sign=-1),
        PackedFormat("Q5_K", 256, 176, 4, 1, sign=-1),
        PackedFormat("Q6_K", 256, 210, 4, 2, offset=32, part=16),
        PackedFormat("IQ4_NL", 32, 18, 4, table="iq4"),
        PackedFormat("IQ4_XS", 256, 136, 4, table="iq4"),
        PackedFormat("MXFP4", 32, 17, 4, table="e2m1"),
    )
}
"""By the name that GGUF has for the type."""

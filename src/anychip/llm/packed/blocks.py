"""Blocks of a GGUF file taken apart. Flows in: a weight's bytes as the file has them. Flows out: codes,
scales and minimums of its rows, each with the bits of the file. The layouts are those of ggml's `block_*`
structures (https://github.com/ggml-org/ggml, src/ggml-common.h)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .formats import PackedFormat


@dataclass(frozen=True, slots=True)
class Codes:
    """Of `rows` rows: scales and minimums [rows, blocks] of float16 or float32; of parts [rows, parts] int8
    and uint8. Lowest bits of the codes are either `words` [rows, blocks of 32, bytes] uint8, which the file
    has in the order of `PackedWeight.low` already, or they and the `high` ones are in `codes` [rows,
    elements] uint8; `high` [rows, elements] uint8 has other bits where the lowest ones are in words."""

    scales: torch.Tensor
    minimums: torch.Tensor | None = None
    part_scales: torch.Tensor | None = None
    part_minimums: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    words: torch.Tensor | None = None
    high: torch.Tensor | None = None


def taken_apart(format: PackedFormat, data: torch.Tensor) -> Codes:
    """data [rows, bytes of a row] uint8."""
    return _READERS[format.name](data.view(data.shape[0], -1, format.bytes))


def _half(blocks: torch.Tensor, first: int) -> torch.Tensor:
    """The float16 at a place of each block."""
    return blocks[..., first : first + 2].contiguous().view(torch.float16)[..., 0]


def _rows(x: torch.Tensor) -> torch.Tensor:
    """[rows, blocks, ...] as [rows, the rest]."""
    return x.reshape(x.shape[0], -1)


def _nibbles(qs: torch.Tensor) -> torch.Tensor:
    """Low halves of all bytes, then high halves."""
    return torch.cat([qs & 15, qs >> 4], -1)


def _bits(qh: torch.Tensor, count: int, bits: int = 1) -> torch.Tensor:
    """[..., bytes] -> [..., count, bytes]: the lowest bits of all bytes, then the next ones."""
    shifts = torch.arange(count, dtype=torch.uint8)[:, None] * bits
    return (qh[..., None, :] >> shifts) & ((1 << bits) - 1)


def _fifth_bits(qh: torch.Tensor) -> torch.Tensor:
    """Four bytes of a block as 32 bits, one an element."""
    shifts = torch.arange(8, dtype=torch.uint8)
    return ((qh[..., None] >> shifts) & 1).flatten(-2)


def _plain(with_minimum: bool, fifth: bool) -> Callable[[torch.Tensor], Codes]:
    """Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL: a scale, a minimum, fifth bits, nibbles."""

    def read(blocks: torch.Tensor) -> Codes:
        first = 4 if with_minimum else 2
        return Codes(
            _half(blocks, 0),
            _half(blocks, 2) if with_minimum else None,
            words=blocks[..., first + 4 * fifth :],
            high=_rows(_fifth_bits(blocks[..., first : first + 4])) if fifth else None,
        )

    return read


def _q8_0(blocks: torch.Tensor) -> Codes:
    return Codes(_half(blocks, 0), words=blocks[..., 2:])


def _mxfp4(blocks: torch.Tensor) -> Codes:
    return Codes(power_scales(blocks[..., 0]), words=blocks[..., 1:])


def power_scales(exponents: torch.Tensor) -> torch.Tensor:
    """Scales of MXFP4 [...] float32 of their bytes: powers of two, halved because codes stand for twice their
    number."""
    exponents = exponents.to(torch.int32)
    tiny = torch.where(exponents == 0, 0x00200000, 0x00400000)
    return torch.where(exponents < 2, tiny, (exponents - 1) << 23).to(torch.int32).view(torch.float32)


def _q2_k(blocks: torch.Tensor) -> Codes:
    scales, qs = blocks[..., :16], blocks[..., 16:80].unflatten(-1, (2, 32))
    parts = _rows(scales & 15).to(torch.int8), _rows(scales >> 4)
    return Codes(_half(blocks, 80), _half(blocks, 82), *parts, codes=_rows(_bits(qs, 4, 2)))


def _q3_k(blocks: torch.Tensor) -> Codes:
    hmask, qs, packed = blocks[..., :32], blocks[..., 32:96].unflatten(-1, (2, 32)), blocks[..., 96:108]
    high = _bits(hmask, 8).unflatten(-2, (2, 4))
    codes = _bits(qs, 4, 2) | (high << 2)
    low = torch.cat([packed[..., :8] & 15, packed[..., :8] >> 4], -1)
    two = _bits(packed[..., 8:], 4, 2).flatten(-2)
    scales = (low | (two << 4)).to(torch.int8) - 32
    return Codes(_half(blocks, 108), None, _rows(scales), codes=_rows(codes))


def _six_bits(packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight scales and eight minimums of 6 bits in 12 bytes."""
    d, m, both = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    scales = torch.cat([d & 63, (both & 15) | ((d >> 2) & 48)], -1)
    minimums = torch.cat([m & 63, (both >> 4) | ((m >> 2) & 48)], -1)
    return _rows(scales).to(torch.int8), _rows(minimums)


def _q4_k(blocks: torch.Tensor) -> Codes:
    codes = _nibbles(blocks[..., 16:].unflatten(-1, (4, 32)))
    return Codes(_half(blocks, 0), _half(blocks, 2), *_six_bits(blocks[..., 4:16]), codes=_rows(codes))


def _q5_k(blocks: torch.Tensor) -> Codes:
    low = _nibbles(blocks[..., 48:].unflatten(-1, (4, 32))).flatten(-2).unflatten(-1, (8, 32))
    codes = low | (_bits(blocks[..., 16:48], 8) << 4)
    return Codes(_half(blocks, 0), _half(blocks, 2), *_six_bits(blocks[..., 4:16]), codes=_rows(codes))


def _q6_k(blocks: torch.Tensor) -> Codes:
    low = _nibbles(blocks[..., :128].unflatten(-1, (2, 64)))
    high = _bits(blocks[..., 128:192].unflatten(-1, (2, 32)), 4, 2).flatten(-2)
    scales = blocks[..., 192:208].contiguous().view(torch.int8)
    return Codes(_half(blocks, 208), None, _rows(scales), codes=_rows(low | (high << 4)))


def _iq4_xs(blocks: torch.Tensor) -> Codes:
    low = torch.stack([blocks[..., 4:8] & 15, blocks[..., 4:8] >> 4], -1).flatten(-2)
    two = torch.stack([(blocks[..., 2:4] >> (2 * k)) & 3 for k in range(4)], -1).flatten(-2)
    scales = (low | (two << 4)).to(torch.int8) - 32
    words = blocks[..., 8:].reshape(blocks.shape[0], -1, 16)
    return Codes(_half(blocks, 0), None, _rows(scales), words=words)


_READERS: dict[str, Callable[[torch.Tensor], Codes]] = {
    "Q4_0": _plain(False, False),
    "Q4_1": _plain(True, False),
    "Q5_0": _plain(False, True),
    "Q5_1": _plain(True, True),
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _plain(False, False),
    "IQ4_XS": _iq4_xs,
    "MXFP4": _mxfp4,
}

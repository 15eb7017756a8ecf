"""Static libraries in the System V and GNU form of `ar`, the same bytes for the same content.

The format: an 8-byte magic, then members with headers of 60 bytes; the first member lists the symbols
that the others define (System V Application Binary Interface, chapter 7).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_MAGIC = b"!<arch>\n"


def archive(member: str, content: bytes, symbols: Sequence[str]) -> bytes:
    """A library of one object file that defines `symbols`. `member` has at most 15 characters."""
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    table_bytes = 4 + 4 * len(symbols) + len(names)
    place = len(_MAGIC) + 60 + table_bytes + table_bytes % 2
    table = struct.pack(f">I{len(symbols)}I", len(symbols), *[place] * len(symbols)) + names
    return _MAGIC + _member("/", table) + _member(f"{member}/", content)


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n"
    return header.encode("ascii") + content + b"\n" * (len(content) % 2)

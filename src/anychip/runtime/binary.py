"""The self-checking form in which compiled kernels are stored.

Object code and what a launch must know of it go in; one `bytes` comes out that says by itself
whether it is whole, of this format and for this processor. `unpack` refuses anything else.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass

from .errors import CorruptBinary

MAGIC = b"ANYCHIP\0"
FORMAT = 6
_START = struct.Struct("<8sII")
"""Magic, format version, length of the JSON header."""

_DIGEST_BYTES = hashlib.sha256().digest_size
_PREFIX_BYTES = _START.size + _DIGEST_BYTES
"""The start, and the SHA-256 of the start, the header and the code."""


@dataclass(frozen=True, slots=True)
class KernelBinary:
    """Object code of one kernel. `arg_types` are TTIR type texts, one for each 8-byte slot;
    `messages[k]` is the text of device assertion k; `target` says what it was compiled for;
    `arena_bytes` is the scratch memory each thread needs, status block included; `grain` the program
    instances that a thread takes at once (0: by the runtime's rules). `waiting` is 1 if its programs may wait
    for each other, 2 if they do, in the line `waits_at` of the source: `arena_bytes` is then what each
    program needs. `endless`: it has loops that may never end, in which it looks for signals. `place` is
    the kernel's file and line, `arg_names` the names of the arguments."""

    name: str
    symbol: str
    arena_bytes: int
    arg_types: tuple[str, ...]
    messages: tuple[str, ...]
    target: str
    object_code: bytes
    grain: int = 0
    waiting: int = 0
    waits_at: str = ""
    endless: bool = False
    place: str = ""
    arg_names: tuple[str, ...] = ()


def pack(binary: KernelBinary) -> bytes:
    """`binary` as bytes: prefix, JSON header, object code."""
    fields = asdict(binary)
    code = fields.pop("object_code")
    header = json.dumps(fields, sort_keys=True).encode()
    start = _START.pack(MAGIC, FORMAT, len(header))
    return start + hashlib.sha256(start + header + code).digest() + header + code


def unpack(data: bytes, target: str | None = None) -> KernelBinary:
    """The kernel in `data`. Raises `CorruptBinary` when it is damaged, of another format, or,
    with `target` given, compiled for another one."""
    if len(data) < _PREFIX_BYTES:
        raise CorruptBinary(f"{len(data)} bytes are fewer than the header's {_PREFIX_BYTES}")
    magic, version, length = _START.unpack_from(data)
    if magic != MAGIC:
        raise CorruptBinary(f"it starts with {magic!r}, not {MAGIC!r}")
    if version != FORMAT:
        raise CorruptBinary(f"format {version}, this version reads {FORMAT}")
    start, digest, body = data[: _START.size], data[_START.size : _PREFIX_BYTES], data[_PREFIX_BYTES:]
    if hashlib.sha256(start + body).digest() != digest:
        raise CorruptBinary("its checksum does not match (truncated or damaged)")
    fields = json.loads(body[:length])
    binary = KernelBinary(
        name=fields["name"],
        symbol=fields["symbol"],
        arena_bytes=fields["arena_bytes"],
        arg_types=tuple(fields["arg_types"]),
        messages=tuple(fields["messages"]),
        target=fields["target"],
        object_code=body[length:],
        grain=fields["grain"],
        waiting=fields["waiting"],
        waits_at=fields["waits_at"],
        endless=fields["endless"],
        place=fields["place"],
        arg_names=tuple(fields["arg_names"]),
    )
    if target is not None and binary.target != target:
        raise CorruptBinary(f"compiled for {binary.target}, this process needs {target}")
    return binary

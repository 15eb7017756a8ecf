"""Sizes of the machine code in an object file, read from its headers.

ELF (32 and 64 bits, both byte orders; cubin and hsaco are ELF), Mach-O of 64 bits, and
WebAssembly modules are understood.
"""

from __future__ import annotations

import struct

from ..errors import CompileError

_EXECUTABLE_SECTION = 0x4  # SHF_EXECINSTR of the ELF specification
_MACHO_SEGMENT_64 = 0x19
_MACHO_INSTRUCTIONS = 0x80000400  # S_ATTR_PURE_INSTRUCTIONS | S_ATTR_SOME_INSTRUCTIONS
_WASM_CODE_SECTION = 10


class ObjectFileError(CompileError):
    """The bytes are not an object file of a known format."""


def format_of(data: bytes) -> str:
    """ "elf", "mach-o" or "wasm", by the first bytes. Raises `ObjectFileError`."""
    for magic, name in ((b"\x7fELF", "elf"), (b"\xcf\xfa\xed\xfe", "mach-o"), (b"\0asm", "wasm")):
        if data.startswith(magic):
            return name
    raise ObjectFileError(f"unknown object file: it begins with {data[:4].hex(' ') or 'nothing'}")


def code_size(data: bytes) -> int:
    """Bytes of executable code in all sections. Raises `ObjectFileError`."""
    readers = {"elf": _elf_code_size, "mach-o": _macho_code_size, "wasm": _wasm_code_size}
    kind = format_of(data)
    try:
        return readers[kind](data)
    except (struct.error, IndexError) as error:
        raise ObjectFileError(f"truncated {kind} file of {len(data)} bytes") from error


def _elf_code_size(data: bytes) -> int:
    wide = data[4] == 2
    order = "<" if data[5] == 1 else ">"
    header = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
    table, entry_size, count = header[5], header[10], header[11]
    # sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size
    layout = order + ("IIQQQQ" if wide else "IIIIII")
    sections = (struct.unpack_from(layout, data, table + i * entry_size) for i in range(count))
    return sum(section[5] for section in sections if section[2] & _EXECUTABLE_SECTION)


def _macho_code_size(data: bytes) -> int:
    commands = struct.unpack_from("<I", data, 16)[0]
    offset, total = 32, 0
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, offset)
        if command == _MACHO_SEGMENT_64:
            sections = struct.unpack_from("<I", data, offset + 64)[0]
            for i in range(sections):
                place = offset + 72 + 80 * i
                bytes_in_section = struct.unpack_from("<Q", data, place + 40)[0]
                flags = struct.unpack_from("<I", data, place + 64)[0]
                total += bytes_in_section if flags & _MACHO_INSTRUCTIONS else 0
        offset += size
    return total


def _wasm_code_size(data: bytes) -> int:
    offset, total = 8, 0
    while offset < len(data):
        section = data[offset]
        size, offset = _leb128(data, offset + 1)
        total += size if section == _WASM_CODE_SECTION else 0
        offset += size
    return total


def _leb128(data: bytes, offset: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, offset

"""Symbols of an object file: what it defines, with sizes, and what it needs from elsewhere.

Reads ELF (32 and 64 bits, both byte orders), 64-bit Mach-O, and WebAssembly objects with their linking
section. Sources: the ELF and Mach-O specifications; WebAssembly's tool conventions, Linking.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..compiler.foreign.object_file import format_of


@dataclass(frozen=True, slots=True)
class Symbols:
    """`functions`: bytes of each function defined; `data_bytes`: bytes of all other content that the
    object brings to the chip's memory; `undefined`: names looked for elsewhere, sorted."""

    functions: dict[str, int]
    data_bytes: int
    undefined: tuple[str, ...]


def read_symbols(data: bytes) -> Symbols:
    """The symbols of an object file. Raises `ObjectFileError` for an unknown format."""
    return {"elf": _elf, "mach-o": _macho, "wasm": _wasm}[format_of(data)](data)


# --- ELF ------------------------------------------------------------------------------------------
_ALLOCATED, _EXECUTABLE, _SYMBOL_TABLE = 0x2, 0x4, 2
_FUNCTION = 2
_TABLE_OF_CONTENTS = ".TOC."
"""A symbol of 64-bit PowerPC that the linker defines."""

_NOT_LOADED = ("unwind", "eh_frame", "ARM.exidx", "ARM.extab")
"""Sections for debuggers and exceptions, which a linker may leave out."""


def _elf(data: bytes) -> Symbols:
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    head = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
    table, size, count, names = head[5], head[10], head[11], head[12]
    sizes = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    sections = [struct.unpack_from(sizes, data, table + k * size) for k in range(count)]
    strings = sections[names][4]
    data_bytes = sum(
        section[5]
        for section in sections
        if section[2] & _ALLOCATED
        and not section[2] & _EXECUTABLE
        and not any(word in _text(data, strings + section[0]) for word in _NOT_LOADED)
    )
    functions: dict[str, int] = {}
    undefined: set[str] = set()
    for section in sections:
        if section[1] != _SYMBOL_TABLE:
            continue
        base = sections[section[6]][4]
        for place in range(section[4], section[4] + section[5], 24 if wide else 16):
            if wide:
                name, info, _, index, _, length = struct.unpack_from(order + "IBBHQQ", data, place)
            else:
                name, _, length, info, _, index = struct.unpack_from(order + "IIIBBH", data, place)
            text = _text(data, base + name)
            if not index and text and text != _TABLE_OF_CONTENTS:
                undefined.add(text)
            elif info & 15 == _FUNCTION:
                functions[text] = length
    return Symbols(functions, data_bytes, tuple(sorted(undefined)))


# --- Mach-O ---------------------------------------------------------------------------------------
_SEGMENT_64, _SYMTAB, _EXTERNAL, _IN_SECTION = 0x19, 0x2, 0x1, 0xE
_INSTRUCTIONS = 0x80000400


def _macho(data: bytes) -> Symbols:
    offset, code, data_bytes = 32, {}, 0
    found: list[tuple[int, int, str]] = []
    undefined: set[str] = set()
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        command, size = struct.unpack_from("<II", data, offset)
        if command == _SEGMENT_64:
            for k in range(struct.unpack_from("<I", data, offset + 64)[0]):
                place = offset + 72 + 80 * k
                address, length = struct.unpack_from("<QQ", data, place + 32)
                if struct.unpack_from("<I", data, place + 64)[0] & _INSTRUCTIONS:
                    code[k + 1] = address + length
                else:
                    data_bytes += length
        elif command == _SYMTAB:
            table, count, strings = struct.unpack_from("<III", data, offset + 8)
            for k in range(count):
                name, kind, section, _, value = struct.unpack_from("<IBBHQ", data, table + 16 * k)
                text = _text(data, strings + name).removeprefix("_")
                if kind & _IN_SECTION == _IN_SECTION and section in code and not text.startswith("ltmp"):
                    found.append((section, value, text))
                elif kind & _EXTERNAL and kind & _IN_SECTION == 0:
                    undefined.add(text)
        offset += size
    functions = {}
    found.sort()
    for (section, value, text), following in zip(found, [*found[1:], (0, 0, "")]):
        functions[text] = (following[1] if following[0] == section else code[section]) - value
    return Symbols(functions, data_bytes, tuple(sorted(undefined)))


# --- WebAssembly ----------------------------------------------------------------------------------
_CUSTOM, _IMPORT, _CODE, _DATA = 0, 2, 10, 11
_SYMBOLS_OF_LINKING = 8
_UNDEFINED_FLAG, _EXPLICIT_NAME = 0x10, 0x40


class _Reader:
    """Bytes read one after another."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data, self.offset = data, offset

    def number(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.data[self.offset]
            self.offset += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def name(self) -> str:
        length = self.number()
        self.offset += length
        return self.data[self.offset - length : self.offset].decode()


def _wasm(data: bytes) -> Symbols:
    reader = _Reader(data, 8)
    imported, bodies, data_bytes = [], [], 0
    functions: dict[str, int] = {}
    undefined: set[str] = set()
    while reader.offset < len(data):
        section = data[reader.offset]
        reader.offset += 1
        size = reader.number()
        end = reader.offset + size
        if section == _IMPORT:
            imported = _wasm_imports(reader)
        elif section == _CODE:
            for _ in range(reader.number()):
                length = reader.number()
                bodies.append(length)
                reader.offset += length
        elif section == _DATA:
            data_bytes = size
        elif section == _CUSTOM and reader.name() == "linking":
            _wasm_linking(reader, end, imported, bodies, functions, undefined)
        reader.offset = end
    return Symbols(functions, data_bytes, tuple(sorted(undefined)))


def _wasm_imports(reader: _Reader) -> list[str]:
    """Names of the imported functions."""
    functions = []
    for _ in range(reader.number()):
        reader.name()
        name = reader.name()
        kind = reader.number()
        if kind == 0:
            reader.number()
            functions.append(name)
            continue
        if kind in (1, 3):
            reader.number()
        if kind in (1, 2):
            limits = reader.number()
            reader.number()
            if limits & 1:
                reader.number()
        elif kind == 3:
            reader.number()
    return functions


def _wasm_linking(
    reader: _Reader,
    end: int,
    imported: list[str],
    bodies: list[int],
    functions: dict[str, int],
    undefined: set[str],
) -> None:
    reader.number()
    while reader.offset < end:
        kind, size = reader.number(), reader.number()
        finish = reader.offset + size
        for _ in range(reader.number() if kind == _SYMBOLS_OF_LINKING else 0):
            symbol, flags = reader.number(), reader.number()
            if symbol == 0:
                index = reader.number()
                missing = bool(flags & _UNDEFINED_FLAG)
                named = not missing or flags & _EXPLICIT_NAME
                name = reader.name() if named else imported[index]
                if missing:
                    undefined.add(name)
                else:
                    functions[name] = bodies[index - len(imported)]
            elif symbol == 1:
                name = reader.name()
                if flags & _UNDEFINED_FLAG:
                    undefined.add(name)
                else:
                    for _ in range(3):
                        reader.number()
            elif symbol == 3:
                reader.number()
            else:
                index = reader.number()
                if not flags & _UNDEFINED_FLAG or flags & _EXPLICIT_NAME:
                    reader.name()
        reader.offset = finish


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()

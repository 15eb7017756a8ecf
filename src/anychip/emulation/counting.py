"""How many instructions kernels execute on another chip, counted by QEMU. An emulator's seconds say
nothing of a chip; its instructions are the chip's.

Flows in: cases as for `replay`, and a core that QEMU's user mode emulates. Flows out: instructions by
kernel. QEMU is told to translate one instruction at a time and to log each that runs at the kernels'
addresses, so that small launches are counted, not whole models."""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .cores import Core
from .errors import EmulationError
from .execution import TIME_LIMIT, require_emulator
from .replay import Case, KernelCode, build

_RAN = re.compile(rb"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/", re.MULTILINE)
"""A line of QEMU's log of executed blocks: in brackets are flags, the address, and more."""
_CHUNK = 1 << 24
_FUNCTION = 2
_SYMBOLS = 2
_POSITION_INDEPENDENT = 3


def count(core: Core, cases: Sequence[Case], kernels: Mapping[str, KernelCode]) -> dict[str, int]:
    """Instructions that each kernel executed in all launches of the cases, functions that it calls left
    out. Raises EmulationError where the core is not one of QEMU's user mode, or the program fails."""
    if core.kind != "qemu-user":
        raise EmulationError(
            f"instructions are counted by QEMU's user mode; {core.runs.name} has {core.setting}"
        )
    emulator = require_emulator(core)
    with tempfile.TemporaryDirectory(prefix="anychip-counting-") as temporary:
        folder = Path(temporary)
        program = build(core, cases, kernels, folder)
        places = _functions(program.read_bytes())
        used = sorted(set().union(*(case.kernels for case in cases)))
        ranges = {name: places[kernels[name].symbol] for name in used if kernels[name].symbol in places}
        if len(ranges) < len(used):
            raise EmulationError(f"the linked program does not name {sorted(set(used) - ranges.keys())[0]}")
        log = folder / "log"
        command = [
            emulator, "-cpu", core.model, _one_at_a_time(emulator), "-d", "exec,nochain",
            "-dfilter", ",".join(f"0x{first:x}+0x{size:x}" for first, size in ranges.values()),
            "-D", str(log), str(program),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIME_LIMIT, check=False)
        if done.returncode:
            raise EmulationError(f"the program ended with status {done.returncode} under {core.setting}")
        counts = dict.fromkeys(used, 0)
        for address in _addresses(log):
            for name, (first, size) in ranges.items():
                if first <= address < first + size:
                    counts[name] += 1
                    break
    return counts


def _one_at_a_time(emulator: str) -> str:
    """The option by which a block has one instruction: its name changed with QEMU 8.1."""
    text = subprocess.run([emulator, "-help"], capture_output=True, text=True, timeout=60, check=False).stdout
    return "-one-insn-per-tb" if "-one-insn-per-tb" in text else "-singlestep"


def _addresses(log: Path) -> Iterator[int]:
    """Where each logged instruction lies."""
    with log.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            whole, _, rest = (rest + chunk).rpartition(b"\n")
            for match in _RAN.finditer(whole):
                yield int(match[1], 16)
        for match in _RAN.finditer(rest):
            yield int(match[1], 16)


def _functions(program: bytes) -> dict[str, tuple[int, int]]:
    """Address and size of each function in the symbol table of an ELF file. Raises EmulationError for a
    program that may be loaded anywhere. (Tool Interface Standard, "Executable and Linking Format", 1995.)"""
    wide, order = program[4] == 2, "<" if program[5] == 1 else ">"
    kind = struct.unpack_from(order + "H", program, 16)[0]
    if kind == _POSITION_INDEPENDENT:
        raise EmulationError("the program was linked to run at any address; its kernels cannot be told apart")
    word = "Q" if wide else "I"
    table = struct.unpack_from(order + word, program, 40 if wide else 32)[0]
    entry_size, number = struct.unpack_from(order + "HH", program, 58 if wide else 46)
    head = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    sections = [struct.unpack_from(head, program, table + k * entry_size) for k in range(number)]
    found: dict[str, tuple[int, int]] = {}
    for _, type_, _, _, offset, size, link, *_ in sections:
        if type_ != _SYMBOLS:
            continue
        names = sections[link][4]
        each = 24 if wide else 16
        for place in range(offset, offset + size, each):
            if wide:
                name, info, _, _, value, length = struct.unpack_from(order + "IBBHQQ", program, place)
            else:
                name, value, length, info, _, _ = struct.unpack_from(order + "IIIBBH", program, place)
            if info & 15 == _FUNCTION and length:
                text = program[names + name : program.index(b"\0", names + name)].decode()
                found[text] = value & ~1 if not wide else value, length  # Thumb's lowest bit
    return found

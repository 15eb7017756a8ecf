"""Launches replayed in one emulated process.

Flows in: cases (memory contents and launches in order, with the memory that is wanted back) and the object
code of their kernels. Flows out: the wanted memory of each case, or why there is none. A case that ends the
process costs itself alone: those behind it are run in a new one.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from .cores import Core
from .errors import EmulationError, LinkError
from .execution import run
from .linking import link

_END, _UPLOAD, _LAUNCH, _DOWNLOAD = range(4)
_WELL = 0x600D
_ALIGNMENT = 64
_GUARD = 128
"""Bytes that each memory takes beyond its size, at most."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Memory `memory` of the case gets `content`, whose elements have `element_bytes` each."""

    memory: int
    content: bytes
    element_bytes: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel by name, its grid, and its slots: `(memory, offset)` with memory >= 0 for an address, or
    `(-1, value)`."""

    kernel: str
    grid: tuple[int, int, int]
    slots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Download:
    """Memory `memory` is wanted back."""

    memory: int
    size: int
    element_bytes: int


@dataclass(slots=True)
class Case:
    """What is done in order."""

    steps: list[Upload | Launch | Download] = field(default_factory=list)

    @property
    def kernels(self) -> set[str]:
        """The names of the kernels that are launched."""
        return {step.kernel for step in self.steps if isinstance(step, Launch)}

    @property
    def bytes(self) -> int:
        """Memory that the case takes."""
        sizes = {step.memory: len(step.content) for step in self.steps if isinstance(step, Upload)}
        return sum(size + _ALIGNMENT + _GUARD for size in sizes.values())


@dataclass(frozen=True, slots=True)
class Answer:
    """The wanted memory of a case, in this machine's byte order; or `error`."""

    memories: Mapping[int, bytes]
    error: str = ""


@dataclass(frozen=True, slots=True)
class KernelCode:
    """Object code of a kernel, its symbol and the scratch memory that it needs."""

    symbol: str
    object_code: bytes
    arena_bytes: int


def replay(core: Core, cases: Sequence[Case], kernels: Mapping[str, KernelCode]) -> list[Answer]:
    """Run all cases on the emulated core, in as few processes as its memory allows."""
    answers: list[Answer] = []
    while len(answers) < len(cases):
        rest = cases[len(answers) :]
        try:
            got, ending = _process(core, rest, kernels)
        except LinkError as error:
            if len(rest) == 1:
                answers.append(Answer({}, str(error)))
            else:
                half = len(rest) // 2
                answers += replay(core, rest[:half], kernels)
            continue
        answers += got
        if len(got) < len(rest):
            answers.append(Answer({}, f"the program {ending}"))
    return answers


def build(core: Core, cases: Sequence[Case], kernels: Mapping[str, KernelCode], folder: Path) -> Path:
    """Write into `folder` what a process of these cases needs, and link its program. Raises LinkError."""
    used = sorted(set().union(*(case.kernels for case in cases)))
    order = ">" if core.runs.big_endian else "<"
    objects = []
    for number, name in enumerate(used):
        objects.append(folder / f"kernel{number}.o")
        objects[-1].write_bytes(kernels[name].object_code)
    (folder / "kernels.h").write_text(_table([kernels[name] for name in used], cases))
    harness = resources.files("anychip.emulation") / "harness.c"
    with resources.as_file(harness) as source:
        shutil.copy(source, folder / "harness.c")
    numbers = {name: number for number, name in enumerate(used)}
    swap = order == ">"
    (folder / "batch.bin").write_bytes(
        struct.pack(order + "I", len(cases)) + b"".join(_encoded(c, numbers, order, swap) for c in cases)
    )
    program = folder / "program"
    link(core, [folder / "harness.c", *objects], program, include=folder)
    return program


def _process(
    core: Core, cases: Sequence[Case], kernels: Mapping[str, KernelCode]
) -> tuple[list[Answer], str]:
    """Answers of the cases that were done, and how the process ended."""
    order = ">" if core.runs.big_endian else "<"
    swap = order == ">"
    with tempfile.TemporaryDirectory(prefix="anychip-replay-") as temporary:
        folder = Path(temporary)
        program = build(core, cases, kernels, folder)
        try:
            done = run(core, program, folder)
            ending = done.ending + (f": {done.output.strip()[-200:]}" if done.output.strip() else "")
        except EmulationError as error:
            ending = str(error)
        results = folder / "results.bin"
        content = results.read_bytes() if results.exists() else b""
    return _decoded(cases, content, order, swap), ending


def _table(kernels: Sequence[KernelCode], cases: Sequence[Case]) -> str:
    """The header with the kernels' table and the sizes of memory."""
    declarations = "".join(
        f"void {kernel.symbol}(const uint64_t *, int64_t, int64_t, int32_t, int32_t, int32_t, void *);\n"
        for kernel in kernels
    )
    entries = ", ".join(kernel.symbol for kernel in kernels)
    arena = max((kernel.arena_bytes for kernel in kernels), default=0)
    pool = max((case.bytes for case in cases), default=0)
    return (
        f"enum {{ POOL_BYTES = {pool + 4096}, ARENA_BYTES = {max(arena, 64) + 64} }};\n"
        f"{declarations}static const kernel kernels[] = {{{entries or '0'}}};\n"
    )


def _encoded(case: Case, numbers: Mapping[str, int], order: str, swap: bool) -> bytes:
    parts = []
    for step in case.steps:
        if isinstance(step, Upload):
            content = swapped(step.content, step.element_bytes) if swap else step.content
            parts.append(struct.pack(order + "III", _UPLOAD, step.memory, len(content)) + content)
        elif isinstance(step, Launch):
            parts.append(
                struct.pack(order + "IIIIII", _LAUNCH, numbers[step.kernel], *step.grid, len(step.slots))
            )
            parts += [
                struct.pack(order + "IQ", memory + 1, value & (1 << 64) - 1) for memory, value in step.slots
            ]
        else:
            parts.append(struct.pack(order + "III", _DOWNLOAD, step.memory, step.size))
    return b"".join(parts) + struct.pack(order + "I", _END)


def _decoded(cases: Sequence[Case], content: bytes, order: str, swap: bool) -> list[Answer]:
    answers = []
    offset = 0
    for number, case in enumerate(cases):
        wanted = [step for step in case.steps if isinstance(step, Download)]
        end = offset + sum(step.size for step in wanted)
        if end + 8 > len(content):
            break
        memories = {}
        for step in wanted:
            own = content[offset : offset + step.size]
            memories[step.memory] = swapped(own, step.element_bytes) if swap else own
            offset += step.size
        status, which = struct.unpack_from(order + "II", content, end)
        if which != number:
            break
        offset = end + 8
        answers.append(Answer(memories, "" if status == _WELL else "an assertion of a kernel failed"))
    return answers


def swapped(content: bytes, size: int) -> bytes:
    """`content` with the bytes of each element of `size` bytes in reverse order."""
    whole = len(content) // size * size
    made = bytearray(content)
    for k in range(size):
        made[k:whole:size] = content[size - 1 - k : whole : size]
    return bytes(made)

"""From a recorded function to a folder with a C library for another chip.

In goes a `ExportedFunction` and a chip's or target's name; out come the library, its header, its weights, an
example with its expected results, and a report. Everything is made and checked before the first file is
written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compiler.foreign import compile_library
from ..compiler.foreign.object_file import format_of
from ..compiler.foreign.routes import resolve
from ..compiler.targets import Target
from . import arithmetic, folder, generation, launch_list, web
from .archive import archive
from .context import memory_sizes
from .errors import ExportError
from .example import example, golden
from .exported import ExportedFunction
from .header import header
from .lowering import Lowered, lower
from .report import report
from .symbols import Symbols, read_symbols
from .watchdog import ENTRY_POINTS
from .weights import Weights, collect

EMBEDDED_BYTES = 1 << 20
"""Weights up to this size are part of the library where nobody says otherwise."""

_BARE_METAL = re.compile(r"-none-")


@dataclass(frozen=True, slots=True)
class Library:
    """An export in memory: the content of its files by name, and its report."""

    name: str
    target: Target
    files: dict[str, bytes]
    report: dict[str, Any]


def is_bare_metal(target: Target) -> bool:
    """Whether the target has no operating system."""
    return bool(_BARE_METAL.search(target.triple))


def export(
    exported: ExportedFunction,
    chip: str,
    directory: Path | str,
    *,
    embed_weights: bool | None = None,
    watchdog: bool = False,
) -> Library:
    """Write a library for `chip` (a chip's identifier or a target's name) into `directory`, which is made
    whole or not at all.

    `embed_weights`: keep the weights inside the library; None leaves it to their size, and microcontrollers
    always do. `watchdog`: add the functions that stop a robot when the program stalls (`watchdog.py`). Raises
    UnknownTarget or ExportError before anything is written.
    """
    place = Path(directory)
    folder.require_free(place)
    library = build(exported, chip, embed_weights=embed_weights, watchdog=watchdog)
    folder.write(place, library.files)
    return library


def build(
    exported: ExportedFunction, chip: str, *, embed_weights: bool | None = None, watchdog: bool = False
) -> Library:
    """The library without writing it. Raises like `export`."""
    target = resolve(chip)
    if not isinstance(target, Target):
        raise ExportError(
            f"{chip} is a GPU, and a C library runs on processors\n"
            "  Export for the processor beside it (anychip chips --targets), or run the kernels with PyTorch."
        )
    if not exported.launches.launches:
        raise ExportError(f"{exported.name} launches no kernel, so there is nothing to export")
    lowered = lower(exported.launches, target, exported.name)
    weights = collect(exported.launches, lowered, target.big_endian)
    embedded = is_bare_metal(target) or (
        len(weights.data) <= EMBEDDED_BYTES if embed_weights is None else embed_weights
    )
    object_code, frames = _compile(exported, lowered, weights, target, embedded, watchdog)
    symbols = read_symbols(object_code)
    _require_independent(symbols)
    sizes = memory_sizes(exported.launches, lowered)
    if target.pointer_bits == 32 and sizes.arena_bytes >= 1 << 31:
        raise ExportError(f"the arena of {sizes.arena_bytes} bytes is more than {target.name} can address")
    facts = report(exported, chip, target, lowered, weights, embedded, sizes, object_code, symbols, frames)
    name = exported.name
    separate = bool(weights.data) and not embedded
    files = {
        f"{name}.o": object_code,
        f"lib{name}.a": archive(f"{name}.o"[-15:], object_code, _entry_points(name, separate, watchdog)),
        f"{name}.h": header(exported, chip, sizes, len(weights.data), embedded, watchdog).encode(),
        **{file: text.encode() for file, text in _example(exported, separate).items()},
        folder.REPORT: (json.dumps(facts, indent=1) + "\n").encode(),
    }
    if separate:
        files[f"{name}_weights.bin"] = weights.file()
    if format_of(object_code) == "wasm":
        files |= web.files(name, object_code, _entry_points(name, separate, watchdog), separate)
    return Library(name, target, files, facts)


def _example(exported: ExportedFunction, separate: bool) -> dict[str, str]:
    given = exported.generation
    if given is None:
        return {"example.c": example(exported, separate), "golden.h": golden(exported)}
    return {
        "example.c": generation.example(exported, given, separate),
        "golden.h": generation.golden(exported, given),
    }


def _entry_points(name: str, separate_weights: bool, watchdog: bool) -> list[str]:
    functions = ["arena_size", "arena_size_parallel", "init", "run", "set_parallel"]
    functions += ["set_weights"] if separate_weights else []
    return [f"{name}_{function}" for function in (*functions, *(ENTRY_POINTS if watchdog else ()))]


def _compile(
    exported: ExportedFunction,
    lowered: Lowered,
    weights: Weights,
    target: Target,
    embedded: bool,
    watchdog: bool,
) -> tuple[bytes, dict[str, int]]:
    """Object code and the frames of its functions; routines that the chip lacks are added where called."""
    own = launch_list.module(exported, lowered, weights, target, embedded, watchdog)
    modules = [own, *(kernel.llvm_ir for kernel in lowered.kernels)]
    object_code, frames = _link(exported.name, modules, target)
    missing = arithmetic.supplied(read_symbols(object_code).undefined)
    return _link(exported.name, [*modules, missing], target) if missing else (object_code, frames)


def _link(name: str, modules: list[str], target: Target) -> tuple[bytes, dict[str, int]]:
    record = compile_library(name, modules, target)
    if not record.ok:
        raise ExportError(f"{name} cannot be compiled for {target.name}: {record.error}")
    format_of(record.object_code)
    return record.object_code, record.frames


def _require_independent(symbols: Symbols) -> None:
    unknown = [symbol for symbol in symbols.undefined if not arithmetic.kind_of(symbol)]
    if unknown:
        raise ExportError(f"the library would need {', '.join(unknown)}, which a bare chip does not have")

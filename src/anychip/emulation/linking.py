"""C sources and foreign object files become a program for an emulator, through the C compiler and linker
of the package `ziglang`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from .cores import Core
from .errors import LinkError, MissingEmulator

TIME_LIMIT = 600.0
"""Seconds; the first program for a system takes half a minute, in which the linker makes its C library."""

BOARD_FLAG = "-DANYCHIP_BARE_METAL"
_FREESTANDING = ("-ffreestanding", "-fno-builtin", "-mthumb", BOARD_FLAG)


def require_linker() -> None:
    """Raise MissingEmulator where the package with the linker is not installed."""
    if importlib.util.find_spec("ziglang") is None:
        raise MissingEmulator(
            "programs for other chips are linked by ziglang, which is not installed\n"
            "  Install it: pip install ziglang"
        )


def link(core: Core, inputs: Sequence[Path], program: Path, *, include: Path | None = None) -> None:
    """Build `program` from C sources, object files and archives. Raises LinkError with the compiler's
    messages."""
    require_linker()
    options = ["-target", core.system, *core.link_options, "-O1", "-g0", "-w"]
    options += ["-I", str(include)] if include else []
    files = [str(path) for path in inputs]
    if core.kind == "qemu-system":
        boards = resources.files("anychip.emulation") / "boards"
        with resources.as_file(boards) as folder:
            options += [*_FREESTANDING, "-T", str(folder / f"{core.machine}.ld")]
            _run([*options, str(folder / "startup.c"), *files, "-o", str(program)], core.system)
        return
    _run([*options, *files, "-lm", "-o", str(program)], core.system)


def link_module(source: Path, entry_points: Sequence[str], module: Path) -> None:
    """Make a WebAssembly module without imports that exports `entry_points`. Raises LinkError."""
    require_linker()
    system = "wasm32-freestanding"
    exports = [f"-Wl,--export={name}" for name in entry_points]
    options = ["-target", system, "-mcpu=generic+bulk_memory+simd128", "-nostdlib", "-Wl,--no-entry"]
    _run([*options, *exports, str(source), "-o", str(module)], system)


def _run(arguments: Sequence[str], system: str) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise LinkError(f"linking for {system} took longer than {TIME_LIMIT:g} s") from error
    if done.returncode:
        raise LinkError(f"linking for {system} failed:\n{done.stderr.strip()[-2000:]}")

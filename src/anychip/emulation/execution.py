"""Runs a linked program under its emulator. Flows in: the program and a folder that it may read and
write. Flows out: its exit status and what it printed."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..compiler.targets.host import runs_here
from .cores import Core
from .errors import EmulationError, MissingEmulator

TIME_LIMIT = 900.0
"""Seconds that a program may run."""

_NODE_SCRIPT = Path(__file__).with_name("webassembly.mjs")
_NO_WINDOW = ("-nographic", "-monitor", "none", "-serial", "none")
_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended: exit status (negative: the number of the signal), and its output."""

    status: int
    output: str

    @property
    def ending(self) -> str:
        """The status in words."""
        if self.status >= 0:
            return f"ended with status {self.status}"
        return f"was ended by {signal.Signals(-self.status).name}"


def program_of(core: Core) -> str | None:
    """The emulator's executable, None if it is not installed."""
    if core.kind == "wasmtime":
        return sys.executable if importlib.util.find_spec("wasmtime") else None
    if core.kind == "native":
        return sys.executable if runs_here(core.runs) else None
    if core.kind == "node":
        return shutil.which("node")
    names = (
        [f"qemu-{core.program}-static", f"qemu-{core.program}"]
        if core.kind == "qemu-user"
        else [f"qemu-system-{core.program}"]
    )
    return next((found for name in names if (found := shutil.which(name))), None)


def require_emulator(core: Core) -> str:
    """The emulator's executable. Raises MissingEmulator."""
    found = program_of(core)
    if found is None and core.kind == "native":
        raise MissingEmulator(
            f"no emulator runs {core.runs.name}, and this machine lacks some of its instructions"
        )
    if found is None:
        raise MissingEmulator(
            f"{core.setting} is not installed\n  On Debian: make emulators. WebAssembly: pip install wasmtime"
        )
    return found


def host_name() -> str:
    """This machine's processor, as LLVM calls it."""
    from llvmlite import binding as llvm

    return llvm.get_host_cpu_name()


@functools.cache
def version_of(core: Core) -> str:
    """The emulator's version, for records."""
    if core.kind == "native":
        return host_name()
    if core.kind == "wasmtime":
        from importlib.metadata import version

        return f"wasmtime {version('wasmtime')}"
    done = subprocess.run([require_emulator(core), "--version"], capture_output=True, text=True, timeout=60)
    first = done.stdout.splitlines()[0].strip()
    return f"Node.js {first}" if core.kind == "node" else first


def run(core: Core, program: Path, folder: Path, *, time_limit: float = TIME_LIMIT) -> Run:
    """Run `program` in `folder`. Raises MissingEmulator, or EmulationError when it takes too long."""
    emulator = require_emulator(core)
    commands = {
        "native": [str(program)],
        "qemu-user": [emulator, "-cpu", core.model, str(program)],
        "qemu-system": [
            emulator, "-machine", core.machine, "-cpu", core.model, *_NO_WINDOW, *_SEMIHOSTING,
            "-kernel", str(program),
        ],
        "wasmtime": [emulator, "-m", f"{__package__}.webassembly", str(program)],
        "node": [emulator, "--no-warnings", str(_NODE_SCRIPT), str(program)],
    }  # fmt: skip
    try:
        done = subprocess.run(
            commands[core.kind], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=time_limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EmulationError(f"the program ran longer than {time_limit:g} s under {core.setting}") from error
    return Run(done.returncode, done.stdout.decode(errors="replace"))

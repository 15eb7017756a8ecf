"""Runs a WASI program in wasmtime, in a process of its own: `python -m anychip.emulation.webassembly FILE`.

The program sees the current folder as its own, and standard output.
"""

from __future__ import annotations

import sys
from typing import Any


def main(program: str) -> int:
    """The program's exit status."""
    import wasmtime  # pyright: ignore[reportMissingImports] (an extra)

    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.argv = [program]
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.preopen_dir(".", ".")
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    module = wasmtime.Module.from_file(engine, program)
    start: Any = linker.instantiate(store, module).exports(store)["_start"]
    try:
        start(store)
    except wasmtime.ExitTrap as ending:
        return ending.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The worker process: reads pickled requests from standard input, answers with records.

Started by the client as `python -m anychip.compiler.foreign.worker`. Compilers may print to
standard output, so the channel of answers is moved off it first.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import time
from pathlib import Path

from ..targets import Target
from .device_library import with_ocml_names
from .object_file import code_size, format_of
from .records import ForeignKernel, LibraryRecord, LibraryRequest, Record, Request, StockTarget
from .shared_memory import require_room
from .stack_frames import listen, with_reports

_BINARIES = {"cuda": ("cubin", "ptx"), "hip": ("hsaco", "amdgcn")}
"""Stock Triton's back end -> its stages with the object code and with the assembly text."""

_SYMBOL_NAMES = {"hip": with_ocml_names}
"""Stock Triton's back end -> how it wants device functions called, where not as in our TTIR."""


def compile_with_ours(kernel: ForeignKernel, target: Target, assembly: bool) -> dict[str, object]:
    """Fields of the record of a kernel compiled by our own pipeline."""
    from ..pipeline import compile_ttir

    compiled = compile_ttir(kernel.ttir, target, keep_stages=assembly)
    return {
        "symbol": compiled.symbol,
        "object_format": format_of(compiled.object_code),
        "object_code": compiled.object_code,
        "code_bytes": code_size(compiled.object_code),
        "assembly": compiled.stages.get("asm", ""),
        "arena_bytes": compiled.arena_bytes,
    }


def compile_with_stock_triton(kernel: ForeignKernel, target: StockTarget) -> dict[str, object]:
    """Fields of the record of a kernel compiled by the Triton that is installed."""
    import triton
    from triton.backends.compiler import GPUTarget

    options = {"num_warps": kernel.num_warps, "num_stages": kernel.num_stages}
    with tempfile.TemporaryDirectory(prefix="anychip-") as folder:
        source = Path(folder) / "kernel.ttir"
        source.write_text(_SYMBOL_NAMES.get(target.backend, str)(kernel.ttir))
        compiled = triton.compile(
            str(source),
            target=GPUTarget(target.backend, target.architecture, target.warp_size),
            options={name: number for name, number in options.items() if number is not None},
        )
    require_room(kernel.name, compiled.metadata.shared, target)
    binary, text = _BINARIES[target.backend]
    code = compiled.asm[binary]
    return {
        "symbol": compiled.metadata.name,
        "object_format": binary,
        "object_code": code,
        "code_bytes": code_size(code),
        "assembly": compiled.asm.get(text, ""),
    }


def link_library(request: LibraryRequest) -> LibraryRecord:
    """The record of a library. An exception of the compiler becomes the record's error."""
    from ..targets import machine

    modules = [with_reports(text) for text in request.modules]
    try:
        with listen() as frames:
            object_code = machine.emit_linked_object(modules, request.target)
    except Exception as error:
        return request.failed(f"{type(error).__name__}: {error}".strip())
    return LibraryRecord(request.name, request.target.name, object_code, dict(frames))


def answer(request: Request | LibraryRequest) -> Record | LibraryRecord:
    """The record of one request. An exception of a compiler becomes the record's error."""
    if isinstance(request, LibraryRequest):
        return link_library(request)
    kernel, target = request.kernel, request.target
    started = time.perf_counter()
    try:
        if isinstance(target, StockTarget):
            fields = compile_with_stock_triton(kernel, target)
        else:
            fields = compile_with_ours(kernel, target, request.assembly)
    except Exception as error:
        fields = {"error": f"{type(error).__name__}: {error}".strip()}
    seconds = time.perf_counter() - started
    return Record(kernel=kernel.name, chip=request.chip, target=target.name, seconds=seconds, **fields)  # type: ignore[arg-type]


def main() -> None:
    """Answer pickled requests from standard input on standard output, until the input ends. What compilers
    print goes to standard error."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        record = answer(request)
        sys.stderr.flush()
        pickle.dump(record, answers)
        answers.flush()


if __name__ == "__main__":
    main()

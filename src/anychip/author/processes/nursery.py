"""The process that forks the others, so that PyTorch and Triton are imported once. It is started afresh by
the judge, holds nothing of it, and has one thread. Run as `python -m anychip.author.processes.nursery SOCKET
[library]`."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from ..messages import Channel

CONTROL_BYTES = 1 << 16
FILES = 2
"""A process is given its end of a pair of sockets and the shared memory."""


def main() -> None:
    """Fork a process for each request that comes, until the judge is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _import_all(library="library" in sys.argv[2:])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    control.send(b"{}")
    while True:
        data, files, _, _ = socket.recv_fds(control, CONTROL_BYTES, FILES)
        if not data:
            return
        request = json.loads(data)
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            _between(request, files, writing)
        os.close(writing)
        for file in files:
            os.close(file)
        with os.fdopen(reading, "rb") as pipe:
            control.send(pipe.read() or b"{}")


def _import_all(*, library: bool) -> None:
    import torch
    import torch.utils._python_dispatch
    import triton
    import triton.language

    from ...compiler import pipeline, targets
    from ...triton_backend import activate
    from ...triton_backend.compiler import compiler_fingerprint
    from .. import tasks  # noqa: F401
    from . import candidate, peer, witness  # noqa: F401

    torch.set_num_threads(1)
    if library:
        from ...ops.registry import operators

        operators()
    activate()
    targets.host()
    compiler_fingerprint()
    pipeline.compile_ttir(_SMALLEST, targets.host())
    triton.runtime.driver.active  # noqa: B018


_SMALLEST = """module {
  tt.func public @smallest(%p: !tt.ptr<f32>) attributes {noinline = false} {
    %c = arith.constant 1.000000e+00 : f32
    tt.store %p, %c : !tt.ptr<f32>
    tt.return
  }
}
"""
"""A kernel by which everything that compiling imports is imported."""


def _between(request: dict[str, Any], files: list[int], told: int) -> None:
    """The process between the nursery and the one that is wanted, in whose namespaces that begins."""
    from .. import confinement
    from ..confinement import namespaces

    confinement.die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    held = namespaces.separate()
    child = os.fork()
    if child == 0:
        os.close(told)
        try:
            _become(request, files, held)
        except BaseException:  # shown where the process prints
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(70)
    os.write(told, json.dumps({"pid": child}).encode())
    os.close(told)
    for file in files:
        os.close(file)
    os.waitpid(child, 0)
    os._exit(0)


def _become(request: dict[str, Any], files: list[int], held: dict[str, str]) -> None:
    """Become the process that is wanted: warm, confined, and with two files open."""
    import torch

    from ...runtime import native
    from .. import confinement
    from ..arena import Arena
    from ..confinement import namespaces
    from . import candidate, peer, witness

    os.setsid()
    connection, memory = files
    arena = Arena(memory, request["arena"])
    workspace = request["workspace"]
    os.environ.update(
        TRITON_CACHE_DIR=request["cache"],
        ANYCHIP_CACHE_DIR=request["cache"],
        HOME=workspace,
        TMPDIR=workspace,
        TRITON_HOME=workspace,
        XDG_CACHE_HOME=workspace,
    )
    os.chdir(workspace)
    _keep_only(connection, Path(workspace) / "output")
    native.state()
    torch.set_num_threads(request["threads"])
    if request["threads"] > 1:
        torch.ones(1 << 20).add_(1)
    if held["namespaces"] == "holds":
        held["/proc of its own"] = namespaces.own_processes()
    held |= confinement.confine(
        [request["readable"]] if request["readable"] else [], [workspace, request["cache"]]
    )
    channel = Channel(socket.socket(fileno=connection))
    channel.send({"held": held})
    roles = {"candidate": candidate.serve, "peer": peer.serve, "witness": witness.serve}
    roles[request["role"]](channel, arena)


def _keep_only(connection: int, output: Path) -> None:
    """Close all files but the connection; what is printed goes to a file of the workspace."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for number, file in enumerate((nothing, printed, printed)):
        os.dup2(file, number)
    os.closerange(3, connection)
    os.closerange(connection + 1, 4096)


if __name__ == "__main__":
    main()
    os._exit(0)

"""A kernel's code for a GPU, stage by stage.

Flows in: a `Subject` and one of stock Triton's targets. Flows out: the text of each stage after TTIR
that stock Triton's back end for the target goes through.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError
from .kernel_subject import Subject

if TYPE_CHECKING:
    from ..compiler.foreign.records import StockTarget

WORKER_SECONDS = 300
GPU_STAGES = ("ttir", "ttgir", "llir", "ptx", "amdgcn")


def gpu_stages(subject: Subject, target: StockTarget) -> dict[str, str]:
    """The text of each stage after TTIR that stock Triton's back end for the target goes through.

    Works in a process of its own, because stock Triton ends the process for some architectures.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_gpu_worker, args=(sender, subject, target), daemon=True)
    worker.start()
    sender.close()
    try:
        if not receiver.poll(WORKER_SECONDS):
            raise CommandError(
                f"compiling for {target.name} took more than {WORKER_SECONDS} s and was ended."
            )
        stages, problem = receiver.recv()
    except EOFError:
        worker.join()
        raise CommandError(
            f"stock Triton's compiler died while compiling for {target.name} (status {worker.exitcode}).",
            "The installed Triton does not support this architecture.",
        ) from None
    finally:
        worker.kill()
        worker.join()
        receiver.close()
    if problem:
        raise CommandError(f"stock Triton cannot compile {subject.name} for {target.name}: {problem}")
    return stages


def _gpu_worker(sender: Any, subject: Subject, target: StockTarget) -> None:
    stages: dict[str, str] = {}
    problem = ""
    try:
        import triton
        from triton.backends.compiler import GPUTarget

        with tempfile.TemporaryDirectory(prefix="anychip-") as folder:
            source = Path(folder) / f"{subject.name}.ttir"
            source.write_text(subject.ttir, encoding="utf-8")
            compiled = triton.compile(
                str(source),
                target=GPUTarget(target.backend, target.architecture, target.warp_size),
                options=dict(subject.options),
            )
        for stage in GPU_STAGES:
            text = compiled.asm.get(stage)
            if text is not None:
                stages[stage] = text if isinstance(text, str) else text.decode()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    sender.send((stages, problem))

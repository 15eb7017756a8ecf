"""A kernel's code for a GPU, stage by stage.

Flows in: an `InspectedKernel` and one of stock Triton's targets. Flows out: the text of each stage after TTIR
that stock Triton's back end for the target goes through.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..new_process import in_new_process
from .kernels import InspectedKernel

if TYPE_CHECKING:
    from ..compiler.foreign.records import StockTarget

WORKER_SECONDS = 300
GPU_STAGES = ("ttir", "ttgir", "llir", "ptx", "amdgcn")


def gpu_stages(inspected: InspectedKernel, target: StockTarget) -> dict[str, str]:
    """The text of each stage after TTIR that stock Triton's back end for the target goes through.

    Works in a process of its own, because stock Triton ends the process for some architectures.
    """
    return in_new_process(
        f"compiling {inspected.name} for {target.name} by stock Triton",
        WORKER_SECONDS,
        _stages,
        inspected,
        target,
        advice="The installed Triton does not support this architecture.",
    )


def _stages(inspected: InspectedKernel, target: StockTarget) -> dict[str, str]:
    import triton
    from triton.backends.compiler import GPUTarget

    with tempfile.TemporaryDirectory(prefix="anychip-") as folder:
        source = Path(folder) / f"{inspected.name}.ttir"
        source.write_text(inspected.ttir, encoding="utf-8")
        compiled = triton.compile(
            str(source),
            target=GPUTarget(target.backend, target.architecture, target.warp_size),
            options=dict(inspected.options),
        )
    texts = {stage: compiled.asm.get(stage) for stage in GPU_STAGES}
    return {
        stage: text if isinstance(text, str) else text.decode()
        for stage, text in texts.items()
        if text is not None
    }

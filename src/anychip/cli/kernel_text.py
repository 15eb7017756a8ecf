"""Turn a Triton kernel with a settled signature into TTIR text, or into a GPU's code.

Flows in: a kernel and its `Signature`. Flows out: TTIR text with locations from stock Triton's front
end, as the CPU back end receives it; for a GPU, the text of each of stock Triton's stages.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError
from .kernel_file import jit_function
from .kernel_signature import ALIGNMENT, Signature

if TYPE_CHECKING:
    from ..compiler.foreign.records import StockTarget
    from .kernel_subject import Subject

WORKER_SECONDS = 300
GPU_STAGES = ("ttir", "ttgir", "llir", "ptx", "amdgcn")


def ttir_text(kernel: Any, signature: Signature) -> str:
    """TTIR of the kernel after the passes that the CPU back end runs before its compiler."""
    from triton._C.libtriton import ir
    from triton.backends.compiler import GPUTarget
    from triton.compiler.compiler import make_backend

    target = GPUTarget("cpu", "", 32)
    source = _ast_source(kernel, signature)
    backend: Any = make_backend(target)
    options = backend.parse_options(dict(signature.options))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options, source.language)
    functions = backend.get_codegen_implementation(options)
    try:
        module = source.make_ir(target, options, functions, backend.get_module_map(), context)
    except Exception as error:
        raise _refused(kernel, error) from error
    return str(stages["ttir"](module, {}))


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


def _ast_source(kernel: Any, signature: Signature) -> Any:
    from triton.compiler import ASTSource

    function = jit_function(kernel)
    names = list(signature.types)
    attributes = {(names.index(name),): [["tt.divisibility", ALIGNMENT]] for name in signature.aligned}
    constants = {(names.index(name),): value for name, value in signature.constants.items()}
    return ASTSource(function, dict(signature.types), constants, attributes)


def _refused(kernel: Any, error: Exception) -> CommandError:
    name = jit_function(kernel).__name__
    return CommandError(
        f"Triton's front end refused kernel {name}:\n{error}",
        "If a parameter's type was guessed wrongly, say it: --sig name=*fp16 or --const NAME=VALUE.",
    )

"""Turn a Triton kernel with a settled signature into TTIR text.

Flows in: a kernel and its `Signature`. Flows out: TTIR text with locations from stock Triton's front
end, as the CPU back end receives it.
"""

from __future__ import annotations

from typing import Any

from .errors import InspectionError
from .kernel_file import jit_function
from .signature import ALIGNMENT, Signature


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


def _ast_source(kernel: Any, signature: Signature) -> Any:
    from triton.compiler import ASTSource

    function = jit_function(kernel)
    names = list(signature.types)
    attributes = {(names.index(name),): [["tt.divisibility", ALIGNMENT]] for name in signature.aligned}
    constants = {(names.index(name),): value for name, value in signature.constants.items()}
    return ASTSource(function, dict(signature.types), constants, attributes)


def _refused(kernel: Any, error: Exception) -> InspectionError:
    name = jit_function(kernel).__name__
    return InspectionError(
        f"Triton's front end refused kernel {name}:\n{error}",
        "If a parameter's type was guessed wrongly, say it: --sig name=*fp16 or --const NAME=VALUE.",
    )

"""TTIR text of a Triton kernel, made by stock Triton without a GPU.

In: a `@triton.jit` function, the types of its arguments and the values of its constants. Out: the text after
the passes that Anychip runs before it parses. The front end needs some back end for its type rules; the
one for NVIDIA comes with every wheel and needs no device for this.
"""

from __future__ import annotations

from typing import Any

from triton._C.libtriton import ir, passes
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.compiler import make_backend

PASSES: tuple[tuple[Any, str], ...] = (
    (passes.common, "add_inliner"),
    (passes.ttir, "add_rewrite_tensor_pointer"),  # Triton 3.6 and 3.7 only
    (passes.ttir, "add_rewrite_tensor_descriptor_to_pointer"),
    (passes.common, "add_canonicalizer"),
    (passes.ttir, "add_combine"),
    (passes.ttir, "add_reorder_broadcast"),
    (passes.common, "add_cse"),
    (passes.ttir, "add_triton_licm"),
    (passes.common, "add_symbol_dce"),
)


def ttir_of(
    fn: Any,
    signature: dict[str, str],
    constexprs: dict[str, Any] | None = None,
    attrs: dict[tuple[int, ...], list[list[Any]]] | None = None,
    options: dict[str, Any] | None = None,
    *,
    rewrite: bool = True,
) -> str:
    """The TTIR of `fn`. `signature` maps every argument to its type (`"*fp32"`, `"i32"`, `"constexpr"`);
    `attrs` maps `(argument index,)` to hints such as `[["tt.divisibility", 16]]`; `options` are launch
    options such as `{"debug": True}`; `rewrite=False` keeps the text as the front end makes it."""
    target = GPUTarget("cuda", 90, 32)
    backend: Any = make_backend(target)
    chosen = backend.parse_options(options or {})
    source = ASTSource(fn, signature, constexprs or {}, attrs or {})
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    module = source.make_ir(
        target, chosen, backend.get_codegen_implementation(chosen), backend.get_module_map(), context
    )
    if rewrite:
        manager = ir.pass_manager(context)
        manager.enable_debug()
        for room, name in PASSES:
            if hasattr(room, name):
                getattr(room, name)(manager)
        manager.run(module, "make_ttir")
    return str(module)

"""Where a launched kernel comes from: what Triton compiled, and how to have its TTIR again.

The launcher keeps an `Origin` beside each kernel. Capture of a Program reads from its TTIR what the
kernel does to memory; export compiles the same TTIR for another chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE_NAME_LIMIT = 150
"""Triton cuts the names of cached files to this length."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`source` is Triton's (kernel, signature, constants, attributes; or a file of TTIR), `metadata`
    what its compilation noted (options, target, cache key)."""

    source: Any
    metadata: Any

    @property
    def signature(self) -> Mapping[str, Any]:
        """Triton's type of each parameter, by name (by number for a file of TTIR)."""
        return self.source.signature

    def ttir(self) -> str:
        """The kernel's TTIR text: from Triton's cache, or, where it is gone, from the source anew."""
        return self._cached() or self._rebuilt()

    def _cached(self) -> str | None:
        from triton.runtime.cache import get_cache_manager

        name = self.source.name[:_FILE_NAME_LIMIT]
        group = get_cache_manager(self.metadata.hash).get_group(f"{name}.json") or {}
        try:
            return Path(group[f"{name}.ttir"]).read_text()
        except (KeyError, OSError):
            return None

    def _rebuilt(self) -> str:
        from triton.compiler import ASTSource

        if not isinstance(self.source, ASTSource):
            return str(self.source.src)
        return front_end(self.source, self.metadata.target, self.metadata._asdict())


def front_end(source: Any, target: Any, options: Mapping[str, Any]) -> str:
    """TTIR text of what Triton would compile for a target of ours: its front end and the stock passes."""
    from triton._C.libtriton import ir

    from .compiler import CPUBackend, make_ttir

    backend = CPUBackend(target)
    parsed = backend.parse_options(dict(options))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(parsed)
    module = source.make_ir(target, parsed, functions, backend.get_module_map(), context)
    return str(make_ttir(module, {}))

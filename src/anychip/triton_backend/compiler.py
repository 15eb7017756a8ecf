"""Triton's side of compilation: the stages from a kernel's front-end module to a binary.

Stock passes make TTIR, whose text goes to `anychip.compiler.pipeline`; object code and the facts
of its launch come back in one self-checking binary (`anychip.runtime.binary`), which Triton keeps
in its cache. A target's `arch` names the core to compile for; empty means the host.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from triton import knobs
from triton._C.libtriton import ir, passes
from triton.backends.compiler import BaseBackend, GPUTarget, Language

from ..compiler.targets import llvm_versions
from ..errors import AnychipError
from . import autotuning, fingerprint, language, sanitizer
from .options import KernelOptions, parse_options

BACKEND_NAME = "cpu"
BINARY_EXTENSION = "anychip"
BINARY_ONLY_EXTENSION = "hsaco"
"""With TRITON_STORE_BINARY_ONLY Triton keeps only files whose extension is one that it knows."""

BLOCK_POINTER, DESCRIPTOR = "!tt.ptr<tensor", "!tt.tensordesc"
INLINER = "add_inliner"
SLOW_INLINING = 20_000_000
"""Calls times lines of a module, from which on Triton's inliner takes more than half a second."""

TTIR_PASSES: tuple[tuple[str, str, str], ...] = (
    ("common", INLINER, "tt.call "),
    ("ttir", "add_rewrite_tensor_pointer", BLOCK_POINTER),
    ("ttir", "add_rewrite_tensor_descriptor_to_pointer", DESCRIPTOR),
    ("common", "add_canonicalizer", ""),
    ("ttir", "add_combine", ""),
    ("ttir", "add_reorder_broadcast", ""),
    ("common", "add_cse", ""),
    ("ttir", "add_triton_licm", "scf."),
    ("common", "add_symbol_dce", ""),
    ("ttir", "add_loop_unroll", "tt.loop_unroll_factor"),
)
"""Stock passes in order, each with what a module must say that it has something to do in. Those that a Triton
version lacks are not needed there (block pointers left Triton with 3.8)."""

language.make_importable()
autotuning.install()
fingerprint.install()


@functools.cache
def compiler_fingerprint() -> str:
    """A digest of our version, of every source file that shapes the code, and of LLVM's version:
    kernels compiled by another compiler are never taken from a cache."""
    import hashlib
    from importlib.metadata import version
    from pathlib import Path

    from .. import __version__

    versions = f"{__version__};llvmlite {version('llvmlite')};LLVM {llvm_versions.installed_text()}"
    digest = hashlib.sha256(versions.encode())
    package = Path(__file__).parent.parent
    for folder in ("compiler", "triton_backend"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def resolve_target(arch: str) -> Any:
    """The compiler's target for a Triton target's `arch`; empty means the host."""
    from ..compiler import targets

    return targets.get(arch or "host")


def target_identity(target: Any) -> str:
    """What tells binaries of different processors apart."""
    return f"{target.triple}:{target.cpu}:{target.features}"


class UnsupportedLanguage(AnychipError, NotImplementedError):
    """A kernel in a language of Triton's that has no meaning on a CPU."""


class CPUBackend(BaseBackend):
    """Compiles for CPUs. Triton makes one for every target it meets."""

    supports_native_tensor_specialization = True

    def __init__(self, target: GPUTarget) -> None:
        super().__init__(target)
        from . import choosing, descriptors, kernel_cache, parsing

        choosing.install()
        descriptors.install()
        kernel_cache.install()
        parsing.install()
        self.binary_ext = BINARY_ONLY_EXTENSION if knobs.compilation.store_binary_only else BINARY_EXTENSION

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        """Whether this back end compiles for a target of Triton's: those called "cpu"."""
        return target.backend == BACKEND_NAME

    def hash(self) -> str:
        """What the code depends on besides the kernel: compiler, target, form of the binary, checks."""
        identity = target_identity(resolve_target(str(self.target.arch)))
        checks = "".join(f"-{check}" for check in sorted(sanitizer.wanted()))
        return f"anychip-{compiler_fingerprint()}-{identity}-{self.binary_ext}{checks}"

    def get_target_name(self, options: KernelOptions) -> str:
        """The target's name in messages of Triton's: "cpu", or "cpu:" and the target that was chosen."""
        return f"{BACKEND_NAME}:{options.arch}" if options.arch else BACKEND_NAME

    def parse_options(self, options: dict[str, Any]) -> KernelOptions:
        """A launch's keywords as options of ours; those of GPUs are accepted. Raises for values that no
        option has."""
        return parse_options(options, str(self.target.arch))

    def pack_metadata(self, metadata: Any) -> tuple[int, int, int]:
        """What Triton's launchers ask of a kernel: warps, blocks of a cluster, bytes of shared memory."""
        return (metadata.num_warps, metadata.num_ctas, metadata.shared)

    def get_codegen_implementation(self, options: KernelOptions) -> dict[str, Any]:
        """What Triton's front end asks of a back end: converting custom types, and the smallest matrix
        product (1 by 1 by 1)."""
        return {
            "convert_custom_types": language.convert_custom_types,
            "min_dot_size": lambda lhs_type, rhs_type: (1, 1, 1),
        }

    def get_module_map(self) -> Mapping[str, ModuleType]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Modules that stand in for GPUs' ones, such as CUDA's library of functions."""
        return language.ModuleMap()

    def load_dialects(self, context: Any) -> None:
        """TTIR's own dialects, which Triton loads, are all there is."""

    def add_stages(
        self, stages: dict[str, Any], options: object, language: Language = Language.TRITON
    ) -> None:
        """Register the stages from Triton's AST to object code. Raises UnsupportedLanguage for Gluon."""
        if language != Language.TRITON:
            raise UnsupportedLanguage(
                f"{language.name} kernels describe a GPU's layouts and cannot be compiled for a CPU; "
                "launch the kernel's Triton form"
            )
        stages["ttir"] = lambda module, metadata: make_ttir(module, metadata)
        chosen = getattr(options, "anychip_schedule", "")
        stages[self.binary_ext] = lambda module, metadata: make_binary(
            module, metadata, str(self.target.arch), chosen
        )


def inlines_slowly(text: str) -> bool:
    """Whether Triton's inliner would take long for a module: it moves what follows a call for each call."""
    return (
        text.count("tt.call ") * text.count("\n") > SLOW_INLINING
        and BLOCK_POINTER not in text
        and DESCRIPTOR not in text
    )


def make_ttir(module: Any, metadata: dict[str, Any]) -> Any:
    """Run the stock passes on a front-end module. What would be inlined slowly is left to our own inliner,
    which takes a time in proportion to the text."""
    manager = ir.pass_manager(module.context)
    manager.enable_debug()
    text = module.str_nodebug()
    for group, name, subject in TTIR_PASSES:
        add = getattr(getattr(passes, group), name, None)
        if add is None or subject not in text or (name == INLINER and inlines_slowly(text)):
            continue
        add(manager)
    manager.run(module, "make_ttir")
    return module


def make_binary(module: Any, metadata: dict[str, Any], arch: str, schedule: str = "") -> bytes:
    """Compile TTIR for `arch` and describe the result in `metadata`; `schedule` is the text of choices."""
    from ..compiler import pipeline
    from ..compiler.schedule import choices
    from ..runtime.binary import KernelBinary, pack

    target = resolve_target(arch)
    chosen = choices.parse(schedule)
    kernel = pipeline.compile_ttir(
        str(module), target, choices=chosen, interruptible=True, wanted=sanitizer.wanted()
    )
    metadata["name"] = kernel.name
    metadata["shared"] = max(1, kernel.arena_bytes)
    metadata["checks"] = kernel.checks.to_json() if kernel.checks is not None else []
    metadata["arg_types"] = list(kernel.arg_types)
    return pack(
        KernelBinary(
            name=kernel.name,
            symbol=kernel.symbol,
            arena_bytes=kernel.arena_bytes,
            arg_types=tuple(kernel.arg_types),
            messages=tuple(kernel.messages),
            target=target_identity(target),
            object_code=kernel.object_code,
            grain=chosen.grain,
            waiting=kernel.waiting,
            waits_at=kernel.waits_at,
            endless=kernel.endless,
            place=kernel.place,
            arg_names=kernel.arg_names,
        )
    )

"""Compile options that kernels are written with on any chip.

`KernelOptions` takes the union of the names that NVIDIA's, AMD's and Intel's back ends know, so
that a launch written for them passes. What only shapes a GPU's code is accepted and ignored,
and left out of the hash, so that a change of it compiles nothing anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

FP8_DTYPES = ("fp8e4b15", "fp8e4b8", "fp8e4nv", "fp8e5", "fp8e5b16")

WITHOUT_EFFECT = frozenset(
    {
        "num_warps",
        "num_stages",
        "num_ctas",
        "maxnreg",
        "ptx_version",
        "ptx_options",
        "waves_per_eu",
        "matrix_instr_nonkdim",
        "kpack",
        "schedule_hint",
        "llvm_fn_attrs",
        "wgp_cu_mode",
        "sched4reg",
        "launch_pdl",
        "launch_cooperative_grid",
        "clc",
        "cluster_dims",
        "min_shared_mem",
        "grf_mode",
        "split_barriers_scope",
        "one_matrix_per_load_for_bt",
        "generate_native_code",
        "advanced_path",
        "enable_reflect_ftz",
        "enable_tile_load_linear_layout",
    }
)
"""Options that do not change the code made for a CPU."""


@dataclass(frozen=True)
class KernelOptions:
    """Options of one compilation. Fields that Triton's front end reads come first. `anychip_schedule` is what
    the scheduler is told (see `compiler.schedule.choices`): a text such as "unroll=4 grid=y"."""

    supported_fp8_dtypes: tuple[str, ...] = FP8_DTYPES
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    default_dot_input_precision: str = "ieee"
    allowed_dot_input_precisions: tuple[str, ...] = ("ieee", "tf32", "tf32x3", "bf16", "bf16x3", "bf16x6")
    max_num_imprecise_acc_default: int = 0
    debug: bool = False
    sanitize_overflow: bool = True
    enable_fp_fusion: bool = True
    allow_flush_denorm: bool = False
    arch: str = ""
    anychip_schedule: str = ""
    backend_name: str = "cpu"
    warp_size: int = 32
    extern_libs: Any = None
    ir_override: str | None = None
    instrumentation_mode: str = ""
    fpsan_homomorphic_casts: bool = False

    num_warps: int = 4
    num_stages: int = 3
    num_ctas: int = 1
    maxnreg: int | None = None
    ptx_version: int | None = None
    ptx_options: str | None = None
    enable_reflect_ftz: bool = True
    launch_cooperative_grid: bool = False
    launch_pdl: bool = False
    sched4reg: bool = False
    clc: bool = False
    min_shared_mem: int | None = None
    cluster_dims: tuple[int, int, int] = (1, 1, 1)
    waves_per_eu: int = 0
    matrix_instr_nonkdim: int = 0
    kpack: int = 1
    schedule_hint: str = ""
    llvm_fn_attrs: Any = ""
    wgp_cu_mode: str = "wgp"
    grf_mode: str = "default"
    split_barriers_scope: str = "None"
    one_matrix_per_load_for_bt: bool = False
    generate_native_code: bool = False
    advanced_path: bool = False
    enable_tile_load_linear_layout: bool = True

    def __post_init__(self) -> None:
        """The same check, with the same kind of error, as the back ends that a kernel was written for."""
        power_of_two = self.num_warps > 0 and self.num_warps & (self.num_warps - 1) == 0
        assert power_of_two, f"num_warps must be a power of 2; it is {self.num_warps}"

    def hash(self) -> str:
        """A digest of the options that change the code."""
        text = ";".join(
            f"{f.name}={getattr(self, f.name)}" for f in fields(self) if f.name not in WITHOUT_EFFECT
        )
        return hashlib.sha256(text.encode()).hexdigest()


def parse_options(options: dict[str, Any], arch: str) -> KernelOptions:
    """The known options among `options`; the rest are the kernel's own keyword arguments."""
    known = {f.name for f in fields(KernelOptions)}
    chosen = {name: value for name, value in options.items() if name in known and value is not None}
    for name in ("supported_fp8_dtypes", "allowed_dot_input_precisions", "deprecated_fp8_dot_operand_dtypes"):
        if name in chosen:
            chosen[name] = tuple(chosen[name])
    return KernelOptions(**{"arch": arch, **chosen})

"""Triton kernels: launch options and modules that one maker's compiler knows."""

from __future__ import annotations

from ..rule import Need, Rule

OPTION = Rule(
    "AC901",
    "gpu-kernel-option",
    "{found} is an option of one maker's compiler",
    "Set it in configurations of that target only; num_warps and num_stages are taken everywhere.",
    need=Need.NVIDIA,
    options=(
        "num_ctas",
        "maxnreg",
        "ptx_options",
        "ptx_version",
        "cluster_dims",
        "launch_cooperative_grid",
        "launch_pdl",
        "use_cuda_graph",
        "waves_per_eu",
        "matrix_instr_nonkdim",
        "kpack",
        "warp_specialize",
    ),
)
MODULE = Rule(
    "AC902",
    "vendor-triton-module",
    "{found} is a module of Triton's for one maker's chips",
    "Use triton.language, and triton.language.extra.libdevice for mathematics, which each back end maps "
    "to its own.",
    need=Need.NVIDIA,
    names=(
        "triton.language.extra.cuda",
        "triton.language.extra.hip",
        "triton.language.extra.tlx",
        "triton.experimental.gluon",
        "triton.backends.nvidia",
        "triton.backends.amd",
        "triton.runtime.driver.CudaDriver",
        "triton.tools.experimental_descriptor",
    ),
)

RULES = (OPTION, MODULE)

"""CUDA C++ and PTX: files, what builds them, and their text in Python."""

from __future__ import annotations

from ..rule import Need, Rule, Strings

FILE = Rule(
    "AC701",
    "cuda-source-file",
    "{found} is CUDA C++",
    "Write the kernel in Triton, or give PyTorch's own operators for the other devices.",
    need=Need.NVIDIA,
    suffixes=(".cu", ".cuh"),
)
PTX = Rule(
    "AC702",
    "inline-ptx",
    "{found} holds NVIDIA's instructions",
    "Write it in Triton's language. Anychip compiles PTX of plain meaning for CPUs as it is "
    "(docs/inline-ptx.md).",
    need=Need.NVIDIA,
    names=("triton.language.inline_asm_elementwise",),
    lines=(r"\basm\s*(volatile|__volatile__)?\s*\(",),
)
BUILD = Rule(
    "AC703",
    "cuda-extension",
    "{found} builds CUDA C++",
    "Build it where CUDA is found only, and serve the operator by PyTorch or Triton elsewhere.",
    need=Need.NVIDIA,
    names=(
        "torch.utils.cpp_extension.CUDAExtension",
        "torch.utils.cpp_extension.CUDA_HOME",
        "torch.utils.cpp_extension.CUDNN_HOME",
    ),
    strings=(Strings(r"\S*\.(cu|cuh)"),),
)
TEXT = Rule(
    "AC704",
    "cuda-source-text",
    "this text is CUDA C++",
    "Write the kernel in Triton, or give PyTorch's own operators for the other devices.",
    need=Need.NVIDIA,
    strings=(Strings(r"(?s).*\b__(global|device)__\b.*\(.*"),),
)

RULES = (FILE, PTX, BUILD, TEXT)

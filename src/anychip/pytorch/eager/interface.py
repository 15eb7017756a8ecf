"""PyTorch's stable C interface in this process: addresses of the functions that native code calls, and where
an object of Python's holds the tensor that it stands for. Flows in: the libraries of PyTorch that are loaded.
Flows out: symbols to link with, or the reason why operators are called from Python."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import torch

from ...compiler.llvm.routine import External
from ...compiler.llvm.types import I32, PTR

get_data_pointer = External("aoti_torch_get_data_ptr", I32, PTR, PTR)
get_dim = External("aoti_torch_get_dim", I32, PTR, PTR)
get_dtype = External("aoti_torch_get_dtype", I32, PTR, PTR)
get_sizes = External("aoti_torch_get_sizes", I32, PTR, PTR)
get_strides = External("aoti_torch_get_strides", I32, PTR, PTR)

FUNCTIONS = (get_data_pointer, get_dim, get_dtype, get_sizes, get_strides)
LIBRARY = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}.get(sys.platform, "torch_cpu.dll")
FURTHEST_OFFSET = 64
"""Bytes of a tensor's object that are looked through."""


@functools.cache
def addresses() -> dict[str, int]:
    """The functions by name; those that this PyTorch lacks are not there."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / LIBRARY))
    except OSError:
        return {}
    found = {}
    for function in FUNCTIONS:
        try:
            found[function.name] = ctypes.cast(getattr(library, function.name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    return found


@functools.cache
def missing() -> str:
    """What this PyTorch lacks for operators to be called from native code, in words; "" for nothing."""
    names = [function.name for function in FUNCTIONS if function.name not in addresses()]
    if names:
        return f"{LIBRARY} of PyTorch {torch.__version__} has no {', '.join(names)}"
    if handle_offset() is None:
        return f"PyTorch {torch.__version__} keeps tensors at no place in their objects that is known"
    return ""


@functools.cache
def handle_offset() -> int | None:
    """Where in a tensor's object its handle lies: the word that is equal to `_cdata`, at the same place in
    several objects."""
    samples = [torch.empty(3), torch.nn.Parameter(torch.empty(2)), torch.empty(4, dtype=torch.int64)[1:]]
    word = ctypes.sizeof(ctypes.c_void_p)
    for offset in range(2 * word, FURTHEST_OFFSET, word):
        if all(ctypes.c_void_p.from_address(id(x) + offset).value == x._cdata for x in samples):
            return offset
    return None

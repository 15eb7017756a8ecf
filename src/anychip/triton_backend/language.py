"""What our back end adds to Triton's language: `triton.language.extra.cpu` and the conversions of
the 8-bit float format that Triton leaves to its back ends.

Libraries import `triton.language.extra.cpu` (or its `libdevice`) by that name, so a
finder answers for it wherever it is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

PACKAGE = "triton.language.extra.cpu"
LIBDEVICE = f"{PACKAGE}.libdevice"
INTERFACE = "triton.language.extra.libdevice"
"""The module whose functions kernels call on any device; back ends stand in for it."""

FP8E4B15_LARGEST = 0x3F00
"""1.75 as float16 bits, the largest magnitude of fp8e4b15 that conversions give."""


def libdevice_module() -> ModuleType:
    """Our libdevice: the math functions that kernels call by `libdevice.<name>`."""
    from . import libdevice

    return libdevice


class ModuleMap(Mapping[str, ModuleType]):
    """Triton's interface modules -> ours, imported when a kernel first names one."""

    def __getitem__(self, name: str) -> ModuleType:
        if name != INTERFACE:
            raise KeyError(name)
        return libdevice_module()

    def __iter__(self) -> Iterator[str]:
        return iter((INTERFACE,))

    def __len__(self) -> int:
        return 1


class _Finder(MetaPathFinder, Loader):
    """Imports `triton.language.extra.cpu`, which lies outside Triton's folder. Importing the
    package puts its `libdevice` among the modules, where an import of it is answered."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(fullname, self, is_package=True) if fullname == PACKAGE else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        libdevice = libdevice_module()
        sys.modules[LIBDEVICE] = libdevice
        module.libdevice = libdevice  # type: ignore[attr-defined]


def make_importable() -> None:
    """Let `triton.language.extra.cpu` be imported, in any spelling."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def convert_custom_types(
    arg: Any, dst_ty: Any, fp_downcast_rounding: Any = None, _semantic: Any = None
) -> Any:
    """Convert from or to fp8e4b15 (1 sign, 4 exponent bits of bias 15, 3 mantissa bits, no
    infinities), whose bits are float16's shifted right by seven. Called by Triton's front end."""
    import triton.language as tl

    scalar = arg.type.scalar
    if scalar.is_fp8e4b15():
        bits = _semantic.cast(_semantic.bitcast(arg, _like(arg, tl.uint8)), _like(arg, tl.uint16))
        magnitude = _semantic.shl(_and(bits, 0x7F, _semantic), _constant(7, _semantic))
        sign = _semantic.shl(_and(bits, 0x80, _semantic), _constant(8, _semantic))
        half = _semantic.bitcast(_semantic.or_(magnitude, sign), _like(arg, tl.float16))
        return _semantic.cast(half, dst_ty) if not dst_ty.scalar.is_fp16() else half
    half = arg if scalar.is_fp16() else _semantic.cast(arg, _like(arg, tl.float16))
    bits = _semantic.bitcast(half, _like(arg, tl.uint16))
    magnitude = _and(bits, 0x7FFF, _semantic)
    largest = _constant(FP8E4B15_LARGEST, _semantic)
    magnitude = _semantic.where(_semantic.less_than(magnitude, largest), magnitude, largest)
    rounded = _semantic.add(magnitude, _constant(0x40, _semantic), False)
    exponent_and_mantissa = _semantic.lshr(rounded, _constant(7, _semantic))
    sign = _and(_semantic.lshr(bits, _constant(8, _semantic)), 0x80, _semantic)
    byte = _semantic.cast(_semantic.or_(exponent_and_mantissa, sign), _like(arg, tl.uint8))
    return _semantic.bitcast(byte, dst_ty)


def _like(arg: Any, scalar: Any) -> Any:
    return arg.type.with_element_ty(scalar) if arg.type.is_block() else scalar


def _constant(value: int, semantic: Any) -> Any:
    import triton.language as tl

    return semantic.cast(semantic.to_tensor(value), tl.uint16)


def _and(bits: Any, mask: int, semantic: Any) -> Any:
    return semantic.and_(bits, _constant(mask, semantic))

"""Names of device math functions: NVIDIA's, which our TTIR carries, as AMD's library calls them.

Stock Triton links NVIDIA's libdevice (`__nv_tanhf`) for CUDA and AMD's OCML (`__ocml_tanh_f32`) for
HIP, and refuses the one where the other belongs. Sources of the names: NVIDIA, Libdevice User's Guide;
AMD, OCML documentation (`amd/device-libs/doc/OCML.md` of ROCm's LLVM).
"""

from __future__ import annotations

import re

_SAME = """acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh cospi erf erfc erfcinv erfcx
    erfinv exp exp10 exp2 expm1 fabs fdim floor fma fmod hypot ilogb j0 j1 ldexp lgamma log log10 log1p log2
    logb nearbyint nextafter pow rcbrt remainder rhypot rint round rsqrt sin sinh sinpi sqrt tan tanh tgamma
    trunc y0 y1"""
"""Functions with one name in both libraries."""

_RENAMED = {
    "cyl_bessel_i0": "i0",
    "cyl_bessel_i1": "i1",
    "normcdf": "ncdf",
    "normcdfinv": "ncdfinv",
    "norm3d": "len3",
    "norm4d": "len4",
    "rnorm3d": "rlen3",
    "rnorm4d": "rlen4",
    "powi": "pown",
}
"""libdevice's name, without prefix and type -> OCML's."""

_FAST = "cos exp exp10 log log10 log2 pow sin tan tanh"
"""f32 functions of libdevice with a less exact form, which OCML's exact one serves."""

OCML_NAMES: dict[str, str] = {
    symbol: ocml
    for name, other in {**{name: name for name in _SAME.split()}, **_RENAMED}.items()
    for symbol, ocml in ((f"__nv_{name}", f"__ocml_{other}_f64"), (f"__nv_{name}f", f"__ocml_{other}_f32"))
} | {f"__nv_fast_{name}f": f"__ocml_{name}_f32" for name in _FAST.split()}
"""libdevice's symbol -> OCML's symbol of the same function and type."""

_SYMBOL = re.compile(r'(?<=symbol = ")__nv_\w+(?=")')


def with_ocml_names(ttir: str) -> str:
    """`ttir` with libdevice's symbols replaced; one that OCML has no name for stays, for Triton to refuse."""
    return _SYMBOL.sub(lambda match: OCML_NAMES.get(match[0], match[0]), ttir)

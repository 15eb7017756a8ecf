"""The one table of exceptions: what is not tried, or judged less strictly, for entries of PyTorch's database,
and why. Flows in: an entry's name, a dtype, a kind of trial. Flows out: the exception that applies, if any.
Records list the table, so that what was left out can be read beside what passed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch

Rule = Literal["skipped", "magnitudes", "ties", "undefined"]
"""skipped: not tried; magnitudes: results are compared without their signs; ties: where elements are
equal, an index may name any of them; undefined: where PyTorch gives NaN, any value may stand."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """A rule for the entries whose names match, in the kinds of trial and families of dtypes named (empty:
    all). `dtypes` holds "floating", "integral" (bool included) or names."""

    entries: str
    rule: Rule
    reason: str
    kinds: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    def applies(self, entry: str, kind: str, dtype: torch.dtype) -> bool:
        """Whether it is about this entry, kind and dtype."""
        family = "floating" if dtype.is_floating_point else "complex" if dtype.is_complex else "integral"
        named = family in self.dtypes or str(dtype).removeprefix("torch.") in self.dtypes
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.dtypes or named)
            and re.fullmatch(self.entries, entry) is not None
        )


EXEMPTIONS: tuple[Exemption, ...] = (
    Exemption(
        r"i0|special\.(i0e|i1e?|modified_bessel_i[01]|bessel_[jy][01])",
        "undefined",
        "PyTorch gives NaN at infinity, where the function is infinite or zero, as in SciPy",
        kinds=("reference", "special", "layout", "out", "in-place"),
    ),
    Exemption(
        r"(special\.)?polygamma.*",
        "skipped",
        "poles at integers, where PyTorch gives what its rounding leaves",
        dtypes=("integral",),
    ),
    Exemption(
        r"topk|sort|argsort|kthvalue|median|nanmedian|mode",
        "ties",
        "PyTorch leaves open which of equal elements is named",
        kinds=(
            "sample",
            "layout",
            "in-place",
            "out",
            "reference",
            "expanded",
            "transposed",
            "0-d",
            "special",
        ),
    ),
    Exemption(
        r"topk|sort|kthvalue|median|nanmedian|mode",
        "skipped",
        "of equal elements, of which drawn numbers in half precision have many, any may get the gradient",
        kinds=("gradient",),
        dtypes=("bfloat16", "float16"),
    ),
    Exemption(
        r"linalg\.eigh|linalg\.svd|linalg\.qr|qr|svd",
        "magnitudes",
        "vectors are determined but for their sign",
        kinds=("sample", "layout", "in-place", "out", "reference", "transposed", "0-d"),
    ),
    Exemption(
        r"linalg\.(?!cross|diagonal|vecdot|vector_norm|vander|multi_dot|matrix_power).*"
        r"|(cholesky|lu|ormqr|geqrf|qr|svd|pca_lowrank|triangular_solve|logdet|pinverse|norm\.nuc).*",
        "skipped",
        "a matrix of equal rows or with infinities has no factorisation to compare with",
        kinds=("expanded", "special"),
    ),
    Exemption(
        r"linalg\.eig",
        "skipped",
        "eigenvalues of a general matrix come in no order, and vectors are determined but for a factor; the "
        "library's own tests look at A v = w v",
        kinds=("sample", "layout", "out", "reference", "transposed"),
    ),
    Exemption(
        r"cholesky", "skipped", "PyTorch takes a matrix without elements for a square one", kinds=("empty",)
    ),
    Exemption(
        r"nn\.functional\.pixel_unshuffle",
        "skipped",
        "PyTorch gives an input without elements back in its own shape",
        kinds=("empty",),
    ),
    Exemption(
        r"resize_|resize_as_", "skipped", "what resizing adds is not initialised", kinds=("empty", "0-d")
    ),
    Exemption(r"_chunk_cat", "skipped", "PyTorch itself ends the process", kinds=("0-d",)),
    Exemption(
        r"(var|std)_mean.*|native_(group|layer)_norm",
        "undefined",
        "the mean with an infinite element is infinite; PyTorch's running update makes it NaN",
        kinds=("special",),
    ),
    Exemption(
        r"nn\.functional\.(interpolate|upsample).*",
        "undefined",
        "a window that is cut at the border has one weight for each element, where PyTorch also multiplies "
        "it by a weight of zero, which makes NaN of infinity",
        kinds=("special",),
    ),
    Exemption(
        r"special\..*_polynomial_.",
        "skipped",
        "PyTorch's recurrence ends at NaN with what memory holds",
        kinds=("special",),
    ),
    Exemption(
        r".*(batch|instance)_norm.*",
        "skipped",
        "where all elements are one, the root of the smallest variance multiplies the rounding of their mean",
        kinds=("expanded",),
    ),
    Exemption(
        r"nn\.functional\.hard(sigmoid|swish)",
        "skipped",
        "PyTorch's derivative in double precision takes the sixth of single precision",
        kinds=("gradient",),
        dtypes=("float64",),
    ),
    Exemption(
        r"fft\.ihfft[2n]",
        "skipped",
        "PyTorch leaves `out` as it was where there is one dimension",
        kinds=("out",),
    ),
    Exemption(
        r"special\.hermite_polynomial_h",
        "skipped",
        "near the roots of a high degree terms of a million cancel, and only their rounding is left",
        kinds=("reference",),
    ),
    Exemption(
        r"byte|char|short|int|long",
        "skipped",
        "C++ leaves open what NaN and numbers out of range become as integers",
        kinds=("reference", "special"),
        dtypes=("floating",),
    ),
    Exemption(
        r"histogramdd",
        "skipped",
        "samples have edges out of order, for which PyTorch defines nothing; the library's record is tried",
    ),
    Exemption(
        r"signal\.windows\.kaiser",
        "undefined",
        "PyTorch's Bessel function overflows before the function itself does",
        kinds=("reference",),
    ),
    Exemption(r"mode", "undefined", "PyTorch's order of NaN depends on the place of it", kinds=("special",)),
    Exemption(
        r"fft\.(?!.*shift).*|stft|istft",
        "skipped",
        "which elements become NaN by an infinite one depends on the factors of the transform's length",
        kinds=("special",),
    ),
)


def exemption(rule: Rule, entry: str, kind: str, dtype: torch.dtype) -> Exemption | None:
    """The first exemption with a rule for an entry by its full name, kind and dtype."""
    for found in EXEMPTIONS:
        if found.rule == rule and found.applies(entry, kind, dtype):
            return found
    return None

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
        r"i0|special\.i0e|i1|special\.i1e?|special\.modified_bessel_i[01]", "undefined",
        "PyTorch gives NaN at infinity, where the function is infinite or zero, as in SciPy",
        kinds=("reference", "special", "layout", "out", "in-place"),
    ),
    Exemption(
        r"(special\.)?polygamma", "skipped",
        "poles at integers, where PyTorch gives what its rounding leaves", dtypes=("integral",),
    ),
    Exemption(
        r"topk|sort|kthvalue|median|nanmedian|mode", "ties",
        "PyTorch leaves open which of equal elements is named",
        kinds=(
            "sample", "layout", "in-place", "out", "reference", "expanded", "transposed", "0-d", "special",
        ),
    ),
    Exemption(
        r"linalg\.eigh|linalg\.svd|linalg\.qr|qr|svd", "magnitudes",
        "vectors are determined but for their sign",
        kinds=("sample", "layout", "in-place", "out", "reference", "transposed", "0-d"),
    ),
    Exemption(
        r"(linalg\.|cholesky|lu|ormqr|geqrf|qr|svd|pca_lowrank|triangular_solve|logdet).*", "skipped",
        "a matrix of equal rows or with infinities has no factorisation to compare with",
        kinds=("expanded", "special"),
    ),
    Exemption(
        r"fft\..*|stft|istft", "skipped",
        "which elements become NaN by an infinite one depends on the factors of the transform's length",
        kinds=("special",),
    ),
)  # fmt: skip


def exemption(rule: Rule, entry: str, kind: str, dtype: torch.dtype) -> Exemption | None:
    """The first exemption with a rule for an entry (its name without the variant), kind and dtype."""
    for found in EXEMPTIONS:
        if found.rule == rule and found.applies(entry, kind, dtype):
            return found
    return None

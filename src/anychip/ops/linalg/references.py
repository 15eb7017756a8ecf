"""Oracles in NumPy's extended precision for what PyTorch computes less exactly in double precision than our
kernels do. Flows in: arguments as PyTorch's operators take them, in float64. Flows out: float64 results."""

from __future__ import annotations

import torch

TERMS = 24
"""Of the exponential's series; for arguments of norm below 1/16 the next one is below 2**-64."""


def matrix_exp(self: torch.Tensor) -> torch.Tensor:
    """exp(A) [..., n, n]: the series for A over a power of two, squared as often."""
    import numpy

    a = self.detach().double().numpy().astype(numpy.longdouble)
    norm = float(numpy.abs(a).sum(-1).max(initial=0.0))
    halvings = max(0, int(numpy.ceil(numpy.log2(max(norm, 1.0)))) + 4)
    a = a / numpy.longdouble(2) ** halvings
    result = term = numpy.broadcast_to(numpy.eye(a.shape[-1], dtype=numpy.longdouble), a.shape)
    for k in range(1, TERMS):
        term = term @ a / k
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return torch.from_numpy(numpy.asarray(result, numpy.float64))


def solve_triangular(
    self: torch.Tensor, B: torch.Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> torch.Tensor:
    """X with A X = B (X A = B unless `left`), A [..., n, n] triangular, by substitution row by row."""
    import numpy

    if not left:
        turned = solve_triangular(self.mT, B.mT, upper=not upper, unitriangular=unitriangular)
        return turned.mT
    lead = torch.broadcast_shapes(self.shape[:-2], B.shape[:-2])
    a, b = (x.detach().double().expand(*lead, *x.shape[-2:]).numpy() for x in (self, B))
    a, x = a.astype(numpy.longdouble), b.astype(numpy.longdouble)
    rows = range(a.shape[-1])
    with numpy.errstate(all="ignore"):
        for i in reversed(rows) if upper else rows:
            known = slice(i + 1, None) if upper else slice(0, i)
            x[..., i, :] -= (a[..., i, known, None] * x[..., known, :]).sum(-2)
            if not unitriangular:
                x[..., i, :] /= a[..., i, i, None]
    return torch.from_numpy(numpy.asarray(x, numpy.float64))

"""What docs/science.md says beside the table of operators."""

from __future__ import annotations

from ..markdown import table
from ..ops.rooms import RoomPage

INTRODUCTION = """# Scientific computing

`anychip.science` has transforms, sparse matrices and solvers under SciPy's names and signatures. Arrays of
NumPy give arrays, tensors of PyTorch give tensors with gradients, and the same kernels run on every chip.

```python
import scipy.fft
from anychip import science

with scipy.fft.set_backend(science.fft, only=True):
    spectrum = scipy.fft.rfft(signal)          # any length, axis and norm; also fftn, hfft, dct, dst
```

An element of half precision is computed in single, an integer in double. Errors are SciPy's exceptions, and a
keyword that is not known is a TypeError. `workers` does not change the number of threads, which is PyTorch's.

```python
x, info = science.cg(A, b, rtol=1e-8, M=preconditioner)     # bicgstab, gmres, minres; lsqr; eigsh, lobpcg
y = science.sparse.mm(A, B)                                 # A in any format, B dense or sparse
```

`A` is a matrix of `scipy.sparse` or of PyTorch (CSR, CSC, COO, BSR and, of SciPy, all others), an array, or
an operator with `matvec` and `shape`. `science.sparse` also has `addmm`, `sampled_addmm` and
`spsolve_triangular`. Solutions of tensors have gradients in `b` and in the values of `A`, by one more
solution.

Not there: the rest of the families of the field, from sparse LU and incomplete factorisations to
quadrature, special functions of several arguments, and simulation.
"""

DIFFERENCES = (
    (
        "`gmres`",
        "a callback without a type makes `maxiter` count steps instead of cycles, and changes the answer",
        "it counts cycles always",
    ),
    (
        "`minres`",
        "`info` is 0 where the residual is small beside the norms of A and x, with most of it left",
        "0 only where the norm of b - A x is at most rtol times that of b",
    ),
    (
        "all solvers",
        "the residual that stops them is that of the recurrence",
        "the true one is computed before `info` is 0",
    ),
    ("`eigsh`", "factors `A - sigma I` by itself", "needs its inverse as `OPinv`"),
    ("`eigsh`, `lobpcg`", "generalised problems", "refused"),
    ("sparse matrices", "complex elements", "refused"),
)
"""Function, what SciPy 1.17 does, what is done here."""


def _sections() -> list[str]:
    return [
        "",
        "## Where SciPy differs",
        "",
        table(("function", "SciPy 1.17", "here"), DIFFERENCES),
    ]


PAGE = RoomPage(INTRODUCTION, _sections)

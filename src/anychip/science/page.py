"""What docs/science.md says beside the table of operators."""

from __future__ import annotations

from ..ops.rooms import RoomPage

INTRODUCTION = r"""# Scientific computing

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

Where SciPy surprises, these differ on purpose:

| function | SciPy 1.17 | here |
|---|---|---|
| `gmres` | a callback without a type makes `maxiter` count steps instead of cycles, and so changes the
answer | it counts cycles always | | `minres` | `info` is 0 where the residual is small beside \|A\| \|x\|,
with most of it left | 0 only for \|b - A x\| <= rtol \|b\|, computed anew | | all solvers | the residual
that stops them is that of the recurrence | the true one is computed before `info` is 0 | | `eigsh` | factors
`A - sigma I` by itself | needs that inverse as `OPinv` | | `lsqr`, `eigsh` | complex elements | refused |

Not there: the rest of the families of the field, from sparse LU and incomplete factorisations to
quadrature, special functions of several arguments, and simulation.
"""

PAGE = RoomPage(INTRODUCTION)

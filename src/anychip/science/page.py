"""What docs/science.md says beside the table of operators."""

from __future__ import annotations

from ..markdown import table
from ..ops.rooms import RoomPage
from .families import families

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

Preconditioners for `M` are `jacobi`, `chebyshev`, `ilu0` and `multigrid` (smoothed aggregation); `splu` and
`spsolve` factor a matrix in an order of little fill, and `svds` gives singular values. `science.linalg`,
`science.special`, `science.signal` and `science.integrate` have names of `scipy.linalg`, `scipy.special`
([errors in ulp](special-functions.md)), `scipy.signal` and `scipy.integrate`. Under `anychip.enable()`,
products, conversions and softmax of `torch.sparse` (CSR, CSC, BSR, COO) run on them, too.

```python
y = science.blas.dsbmv(2, 1.0, band, x)                     # scipy.linalg.blas: BLAS 1 to 3 in s, d, c and z
y = science.blas.symv(1.0, A, x)                            # the arguments' type, half types too
```

`science.blas` has the names of `scipy.linalg.blas`, and others without a letter. Dense, banded, packed and
triangular matrices are numbers that one kernel finds elements with; what SciPy writes into its arguments
without being asked (`axpy`, `scal`, `copy`, `swap`) is written into arrays of the routine's type, never into
tensors.

```python
fluid = science.simulation.LennardJones(positions, velocities, box, cutoff=3.0)
fluid.step(0.004, 1000)
pressure, temperature = fluid.pressure(), fluid.temperature()
energy = science.simulation.ewald_energy(positions, charges, box)      # its gradient is minus the forces
```

`science.simulation` also has lists of neighbours, radial distributions, gravity, Poisson's equation and flow
by lattice Boltzmann. `science.quantum` has circuits on state vectors, whose expectations have gradients by
the adjoint method, and density matrices with channels; qubit 0 is the lowest bit of an index, and the last
letter of "XYZ". `science.interpolate` has cubic and B-splines and `map_coordinates`, `science.csgraph`
distances, components and PageRank, `science.qmc` Sobol's and Halton's points, `science.cluster` k-means and
principal components. [Three works](science-works.md) use these: flow past a cylinder, a fluid, the levels of
a well.

`A` is a matrix of `scipy.sparse` or of PyTorch (CSR, CSC, COO, BSR and, of SciPy, all others), an array, or
an operator with `matvec` and `shape`. `science.sparse` also has `addmm`, `sampled_addmm` and
`spsolve_triangular`. Solutions of tensors have gradients in `b` and in the values of `A`, by one more
solution.
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
    (
        "`eigsh`",
        "takes `sigma` for an operator, too",
        "factors `A - sigma I` of a matrix; an operator needs `OPinv`",
    ),
    (
        "`splu`, `spsolve`",
        "orders columns by `permc_spec`",
        "by nested dissection, or not at all for NATURAL",
    ),
    ("`sqrtm`, `logm`", "complex results", "refused"),
    ("`kv`, `iv`, `ellip...`", "take complex arguments", "real ones only"),
    ("`solve_ivp`", "DOP853, Radau, LSODA, events, an `atol` of several numbers", "refused"),
    ("`istft`", "times are as many as there are channels", "as many as there are elements"),
    (
        "`stft`, `welch`",
        "two-sided spectra, linear trends, every window",
        "refused, but for four windows by name",
    ),
    ("`eigsh`, `lobpcg`", "generalised problems", "refused"),
    ("sparse matrices", "complex elements", "refused"),
    ("`blas`", "has no `iamin`; a NaN is no largest element", "has it; a NaN is infinite"),
    ("`blas`", "`syr2` and `spr2` of real numbers only", "of complex ones, too"),
    ("`qmc.Sobol`", "scrambles by its own random numbers", "by a seed, from integers alone"),
    (
        "`map_coordinates`",
        "`reflect` of order 3 misses the values of an axis of 3 to 8 points by up to 4e-4",
        "it passes through them",
    ),
    ("`map_coordinates`", "orders 4 and 5, the modes `wrap` and `grid-constant`", "refused"),
    ("`CubicSpline`, `make_interp_spline`", "periodic ends, derivatives given at the ends", "refused"),
    ("`lambertw`", "complex numbers, every branch", "real numbers and the two real branches"),
    ("`kmeans2`", '`minit` is "random" by default', '"points"; "random" is refused'),
)
"""Function, what SciPy 1.17 does, what is done here."""


def _sections() -> list[str]:
    here, of_pytorch, missing = (families(where) for where in ("here", "pytorch", "missing"))
    columns = ("family", "names", "oracle", "gradient", "tests")
    return [
        "",
        "## Families",
        "",
        f"Of {len(here) + len(of_pytorch) + len(missing)} families of the field, {len(here)} are here under "
        f"SciPy's names and {len(of_pytorch)} under PyTorch's ([operators](operators.md)); {len(missing)} "
        "are not delivered. Brackets say what of a family is not there.",
        "",
        table(columns, ([row[column] for column in columns] for row in here)),
        "",
        table(("family", "under PyTorch's names"), ((row["family"], row["names"]) for row in of_pytorch)),
        "",
        f"Not delivered: {'; '.join(row['family'] for row in missing)}.",
        "",
        "## Where SciPy differs",
        "",
        table(("function", "SciPy 1.17", "here"), DIFFERENCES),
    ]


PAGE = RoomPage(INTRODUCTION, _sections)

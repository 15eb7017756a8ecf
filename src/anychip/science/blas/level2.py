"""BLAS 2 under SciPy's names: products with, updates of and solutions with a matrix that is dense, banded,
packed, triangular, symmetric or Hermitian; the layout is data of one kernel each (`layout_kernels.py`). Names
without a letter take the type of their arguments, half types too; `typed.py` has s, d, c and z."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InvalidValue
from .arguments import arguments, count_of, placed, scaled, strided
from .layout import HERMITIAN, SYMMETRIC, Form, band, dense, packed, triangle, triangular_band
from .stored import Product, Solution, Updated

OPS = {0: "N", 1: "T", 2: "C"}


def _op(trans: int) -> str:
    if trans not in OPS:
        raise InvalidValue(f"trans must be 0 (none), 1 (transposed) or 2 (conjugated too), not {trans}")
    return OPS[trans]


def _sum(
    form: Form, op: str, alpha: Any, a: Any, x: Any, beta: Any, y: Any, incx: int, offx: int, incy: int,
    offy: int,
) -> torch.Tensor:  # fmt: skip
    """alpha M x + beta y, at the places of y that an increment and an offset say."""
    rows, columns = (form.rows, form.columns) if op == "N" else (form.columns, form.rows)
    product = scaled(alpha, Product.apply(a, strided(x, columns, offx, incx), form, op))
    if y is None:
        if offy == 0 and incy == 1:
            return product
        y = x.new_zeros(offy + max(rows - 1, 0) * abs(incy) + 1 if rows else offy)
    elif beta != 0:
        product = product + scaled(beta, strided(y, rows, offy, incy, "y"))
    return placed(y if beta != 0 else torch.zeros_like(y), product, offy, incy)


# ---- products -------------------------------------------------------------------------------------


def gemv(
    alpha: Any, a: Any, x: Any, beta: Any = 0.0, y: Any = None, offx: int = 0, incx: int = 1, offy: int = 0,
    incy: int = 1, trans: int = 0, overwrite_y: int = 0, *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """alpha op(a) x + beta y, of a [m, n]. Differentiable in a, x and y. s, d, c, z and half types. Raises
    InvalidValue."""
    (m, u, v), restore = arguments(dtype, (alpha, beta), a=a, x=x, y=y)
    return restore(_sum(dense(m), _op(trans), alpha, m, u, beta, v, incx, offx, incy, offy))


def gbmv(
    m: int, n: int, kl: int, ku: int, alpha: Any, a: Any, x: Any, incx: int = 1, offx: int = 0,
    beta: Any = 0.0, y: Any = None, incy: int = 1, offy: int = 0, trans: int = 0, overwrite_y: int = 0, *,
    dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """alpha op(A) x + beta y for A [m, n] with kl diagonals below and ku above the main one in the rows of
    a [kl + ku + 1, n]. Differentiable in a, x and y. s, d, c, z and half types. Raises InvalidValue."""
    (s, u, v), restore = arguments(dtype, (alpha, beta), a=a, x=x, y=y)
    form = band(s, m, n, kl, ku)
    return restore(_sum(form, _op(trans), alpha, s, u, beta, v, incx, offx, incy, offy))


def _of_dense(mirror: int, what: str) -> Any:
    def call(
        alpha: Any, a: Any, x: Any, beta: Any = 0.0, y: Any = None, offx: int = 0, incx: int = 1,
        offy: int = 0, incy: int = 1, lower: int = 0, overwrite_y: int = 0, *,
        dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u, v), restore = arguments(dtype, (alpha, beta), a=a, x=x, y=y)
        form = triangle(m, bool(lower), mirror)
        return restore(_sum(form, "N", alpha, m, u, beta, v, incx, offx, incy, offy))

    return _named(
        call, what, f"alpha A x + beta y for a {what} A, of which one triangle of a [n, n] is read."
    )


def _of_band(mirror: int, what: str) -> Any:
    def call(
        k: int, alpha: Any, a: Any, x: Any, incx: int = 1, offx: int = 0, beta: Any = 0.0, y: Any = None,
        incy: int = 1, offy: int = 0, lower: int = 0, overwrite_y: int = 0, *,
        dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u, v), restore = arguments(dtype, (alpha, beta), a=a, x=x, y=y)
        form = triangular_band(m, k, bool(lower), mirror)
        return restore(_sum(form, "N", alpha, m, u, beta, v, incx, offx, incy, offy))

    return _named(
        call, what, f"alpha A x + beta y for a {what} A with k diagonals above or below, in a [k + 1, n]."
    )


def _of_packed(mirror: int, what: str) -> Any:
    def call(
        n: int, alpha: Any, ap: Any, x: Any, incx: int = 1, offx: int = 0, beta: Any = 0.0, y: Any = None,
        incy: int = 1, offy: int = 0, lower: int = 0, overwrite_y: int = 0, *,
        dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u, v), restore = arguments(dtype, (alpha, beta), ap=ap, x=x, y=y)
        form = packed(m, n, bool(lower), mirror)
        return restore(_sum(form, "N", alpha, m, u, beta, v, incx, offx, incy, offy))

    return _named(
        call, what, f"alpha A x + beta y for a {what} A [n, n], a triangle of it column after column in ap."
    )


def _named(call: Any, what: str, does: str) -> Any:
    types = "c and z" if what == "Hermitian" else "s, d, c, z and half types"
    call.__doc__ = f"{does} Differentiable in its arrays. {types}. Raises InvalidValue."
    return call


symv, hemv = _of_dense(SYMMETRIC, "symmetric"), _of_dense(HERMITIAN, "Hermitian")
sbmv, hbmv = _of_band(SYMMETRIC, "symmetric"), _of_band(HERMITIAN, "Hermitian")
spmv, hpmv = _of_packed(SYMMETRIC, "symmetric"), _of_packed(HERMITIAN, "Hermitian")


# ---- triangles ------------------------------------------------------------------------------------


def _triangular(solve: bool) -> tuple[Any, Any, Any]:
    does = "The solution of op(A)" if solve else "op(A) times x"
    function = Solution if solve else Product

    def applied(m: torch.Tensor, form: Form, u: torch.Tensor, offx: int, incx: int, trans: int) -> Any:
        found = function.apply(m, strided(u, form.rows, offx, incx), form, _op(trans))
        return placed(u, found, offx, incx)

    def of_dense(
        a: Any, x: Any, offx: int = 0, incx: int = 1, lower: int = 0, trans: int = 0, diag: int = 0,
        overwrite_x: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u), restore = arguments(dtype, (), a=a, x=x)
        form = triangle(m, bool(lower), unit=bool(diag))
        return restore(applied(m, form, u, offx, incx, trans))

    def of_band(
        k: int, a: Any, x: Any, incx: int = 1, offx: int = 0, lower: int = 0, trans: int = 0, diag: int = 0,
        overwrite_x: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u), restore = arguments(dtype, (), a=a, x=x)
        form = triangular_band(m, k, bool(lower), unit=bool(diag))
        return restore(applied(m, form, u, offx, incx, trans))

    def of_packed(
        n: int, ap: Any, x: Any, incx: int = 1, offx: int = 0, lower: int = 0, trans: int = 0, diag: int = 0,
        overwrite_x: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (m, u), restore = arguments(dtype, (), ap=ap, x=x)
        form = packed(m, n, bool(lower), unit=bool(diag))
        return restore(applied(m, form, u, offx, incx, trans))

    tail = ", with x on the right" if solve else ""
    for call, where in (
        (of_dense, "a triangle of a [n, n]"),
        (of_band, "a triangle of k diagonals beside the main one in a [k + 1, n]"),
        (of_packed, "a triangle [n, n] column after column in ap"),
    ):
        call.__doc__ = (
            f"{does}{tail}, A being {where}; `diag`: with ones on its diagonal. Differentiable. s, d, "
            "c, z and half types. Raises InvalidValue."
        )
    return of_dense, of_band, of_packed


trmv, tbmv, tpmv = _triangular(False)
trsv, tbsv, tpsv = _triangular(True)


# ---- updates --------------------------------------------------------------------------------------


def _outer(conjugated: bool, does: str) -> Any:
    def call(
        alpha: Any, x: Any, y: Any, incx: int = 1, incy: int = 1, a: Any = None, overwrite_x: int = 1,
        overwrite_y: int = 1, overwrite_a: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (u, v, m), restore = arguments(dtype, (alpha,), x=x, y=y, a=a)
        p = strided(u, count_of(u, None, 0, incx), 0, incx)
        q = strided(v, count_of(v, None, 0, incy, "y"), 0, incy, "y")
        if m is None:
            m = p.new_zeros((len(p), len(q)))
        if tuple(m.shape) != (len(p), len(q)):
            raise InvalidValue(f"a {tuple(m.shape)} must have the shape {(len(p), len(q))}")
        right = q.conj() if conjugated else q
        return restore(Updated.apply(m, dense(m), False, scaled(alpha, p), right))

    call.__doc__ = (
        f"a + alpha x {does}, a being zeros if not given. Differentiable in its arrays. s, d, c, z and half "
        "types. Raises InvalidValue."
    )
    return call


ger = geru = _outer(False, "y^T")
gerc = _outer(True, "y^H")


def _rank_one(hermitian: bool) -> tuple[Any, Any]:
    def pair(alpha: Any, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return scaled(alpha, p), p.conj() if hermitian else p

    def of_dense(
        alpha: Any, x: Any, lower: int = 0, incx: int = 1, offx: int = 0, n: Any = None, a: Any = None,
        overwrite_a: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (u, m), restore = arguments(dtype, (alpha,), x=x, a=a)
        p = strided(u, count_of(u, n, offx, incx), offx, incx)
        m = p.new_zeros((len(p), len(p))) if m is None else m
        form = _fitting(m, len(p), bool(lower))
        return restore(Updated.apply(m, form, hermitian, *pair(alpha, p)))

    def of_packed(
        n: int, alpha: Any, x: Any, ap: Any, incx: int = 1, offx: int = 0, lower: int = 0,
        overwrite_ap: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (u, m), restore = arguments(dtype, (alpha,), x=x, ap=ap)
        p = strided(u, n, offx, incx)
        return restore(Updated.apply(m, packed(m, n, bool(lower)), hermitian, *pair(alpha, p)))

    mark = "H" if hermitian else "T"
    return _documented(of_dense, of_packed, f"alpha x x^{mark}", hermitian)


def _rank_two(hermitian: bool) -> tuple[Any, Any]:
    def pairs(alpha: Any, p: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not hermitian:
            return scaled(alpha, p), q, scaled(alpha, q), p
        return scaled(alpha, p), q.conj(), scaled(complex(alpha).conjugate(), q), p.conj()

    def of_dense(
        alpha: Any, x: Any, y: Any, lower: int = 0, incx: int = 1, offx: int = 0, incy: int = 1,
        offy: int = 0, n: Any = None, a: Any = None, overwrite_a: int = 0, *,
        dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (u, v, m), restore = arguments(dtype, (alpha,), x=x, y=y, a=a)
        p = strided(u, count_of(u, n, offx, incx), offx, incx)
        q = strided(v, len(p), offy, incy, "y")
        m = p.new_zeros((len(p), len(p))) if m is None else m
        form = _fitting(m, len(p), bool(lower))
        return restore(Updated.apply(m, form, hermitian, *pairs(alpha, p, q)))

    def of_packed(
        n: int, alpha: Any, x: Any, y: Any, ap: Any, incx: int = 1, offx: int = 0, incy: int = 1,
        offy: int = 0, lower: int = 0, overwrite_ap: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (u, v, m), restore = arguments(dtype, (alpha,), x=x, y=y, ap=ap)
        p, q = strided(u, n, offx, incx), strided(v, n, offy, incy, "y")
        return restore(Updated.apply(m, packed(m, n, bool(lower)), hermitian, *pairs(alpha, p, q)))

    does = "alpha x y^H + conj(alpha) y x^H" if hermitian else "alpha (x y^T + y x^T)"
    return _documented(of_dense, of_packed, does, hermitian)


def _fitting(m: torch.Tensor, n: int, lower: bool) -> Form:
    if tuple(m.shape) != (n, n):
        raise InvalidValue(f"a {tuple(m.shape)} must have the shape {(n, n)}")
    return triangle(m, lower)


def _documented(of_dense: Any, of_packed: Any, does: str, hermitian: bool) -> tuple[Any, Any]:
    types = "c and z" if hermitian else "s, d, c, z and half types"
    rest = f"Differentiable in its arrays. {types}. Raises InvalidValue."
    of_dense.__doc__ = f"One triangle of a [n, n] (zeros if not given) + {does}. {rest}"
    of_packed.__doc__ = f"A triangle [n, n], column after column in ap, + {does}. {rest}"
    return of_dense, of_packed


(syr, spr), (her, hpr) = _rank_one(False), _rank_one(True)
(syr2, spr2), (her2, hpr2) = _rank_two(False), _rank_two(True)

"""Errors of scientific computing: each is also the exception that SciPy raises in its place."""

from __future__ import annotations

from typing import Any

from ..errors import AdvisedError


class InvalidValue(AdvisedError, ValueError):
    """A value or shape that is not allowed, where SciPy raises ValueError."""


class InvalidType(AdvisedError, TypeError):
    """An argument of a kind or element type that is not taken, where SciPy raises TypeError."""


class NotProvided(AdvisedError, NotImplementedError):
    """An option that is not served, where SciPy raises NotImplementedError or has an option of its own."""


class SingularMatrix(AdvisedError, RuntimeError):
    """A matrix without an inverse, where SciPy raises RuntimeError."""

    def __init__(self, message: str):
        super().__init__(message, "Solve in the sense of least squares (lsqr), or regularise the matrix.")


class NoConvergence(AdvisedError, RuntimeError):
    """An iteration ended before everything that was wanted was found; `eigenvalues` and `eigenvectors` are
    what was."""

    def __init__(self, message: str, eigenvalues: Any, eigenvectors: Any):
        super().__init__(message, "Raise maxiter or ncv, or allow a larger tol.")
        self.eigenvalues = eigenvalues
        self.eigenvectors = eigenvectors

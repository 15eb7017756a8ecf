"""Backward differentiation of orders one to five in terms of differences, with a nearly constant step, for
stiff problems (Shampine and Reichelt, "The MATLAB ODE suite", 1997; Byrne and Hindmarsh, 1975). Flows in: a
problem as `initial_value` has it. Flows out: steps with an interpolant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ...ops.linalg.lu import linalg_lu_factor_ex
from ...ops.linalg.solve import linalg_lu_solve
from .combination import combined, size_of

HIGHEST, ITERATIONS = 5, 4
LEAST, MOST = 0.2, 10.0
KAPPA = (0.0, -0.1850, -1 / 9, -0.0823, -0.0415, 0.0)
GAMMA = tuple(sum(1 / k for k in range(1, order + 1)) for order in range(HIGHEST + 1))
ALPHA = tuple((1 - k) * g for k, g in zip(KAPPA, GAMMA))
ERROR = tuple(k * g + 1 / (order + 1) for order, (k, g) in enumerate(zip(KAPPA, GAMMA)))

Slope = Callable[[float, torch.Tensor], torch.Tensor]


def _change(order: int, factor: float) -> torch.Tensor:
    """What makes differences for `factor` times the step of those for the step, [order + 1, order + 1]."""

    def powers(factor: float) -> torch.Tensor:
        rows = [[1.0] * (order + 1)]
        for i in range(1, order + 1):
            above = rows[-1]
            rows.append([0.0, *(above[j] * (i - 1 - factor * j) / i for j in range(1, order + 1))])
        return torch.tensor(rows, dtype=torch.float64)

    return (powers(factor) @ powers(1.0)).mT


class Differences:
    """The state of an integration: `difference` [HIGHEST + 3, n], of which row k is the k-th difference."""

    def __init__(self, slope: Slope, jac: Any, t: float, y: torch.Tensor, f: torch.Tensor, h: float):
        self.slope, self.jac, self.t, self.h, self.order, self.equal = slope, jac, t, h, 1, 0
        self.difference = y.new_zeros((HIGHEST + 3, y.numel()))
        self.difference[0], self.difference[1] = y, f * h
        self.njev = self.nlu = 0
        self.matrix = self._jacobian(t, y)
        self.fresh = True
        self.factors: tuple[torch.Tensor, torch.Tensor] | None = None

    def _jacobian(self, t: float, y: torch.Tensor) -> torch.Tensor:
        self.njev += 1
        if self.jac is not None:
            return self.jac(t, y)
        base = self.slope(t, y)
        root = math.sqrt(torch.finfo(y.dtype).eps)
        columns = []
        for k in range(y.numel()):
            moved = y.clone()
            moved[k] += root * max(1e-3, abs(float(y[k])))
            columns.append((self.slope(t, moved) - base) / (moved[k] - y[k]))
        return torch.stack(columns, 1)

    def _rescale(self, factor: float) -> None:
        change = _change(self.order, factor).to(self.difference)
        self.difference[: self.order + 1] = change @ self.difference[: self.order + 1]
        self.h *= factor
        self.equal, self.factors = 0, None

    def _newton(
        self, t: float, guess: torch.Tensor, psi: torch.Tensor, c: float, rtol: float, atol: float
    ) -> tuple[bool, int, torch.Tensor, torch.Tensor]:
        """Whether it converges, after how many iterations, to which state, and how far from the guess."""
        assert self.factors is not None
        lu, pivots = self.factors
        d, y, last, rate = torch.zeros_like(guess), guess, 0.0, None
        bound = max(10 * torch.finfo(guess.dtype).eps / rtol, min(0.03, math.sqrt(rtol)))
        for k in range(ITERATIONS):
            f = self.slope(t, y)
            if not bool(torch.isfinite(f).all()):
                break
            rest = combined(-psi - d, [c], [f])
            step = linalg_lu_solve(lu, pivots, rest[:, None])[:, 0].contiguous()
            size = size_of(step, guess, guess, rtol, atol)
            rate = size / last if last else None
            if rate is not None and (rate >= 1 or rate ** (ITERATIONS - k) / (1 - rate) * size > bound):
                break
            y, d = y + step, d + step
            if size == 0 or (rate is not None and rate / (1 - rate) * size < bound):
                return True, k + 1, y, d
            last = size
        return False, ITERATIONS, y, d

    def step(self, end: float, rtol: float, atol: float, most: float) -> bool:
        """One step towards `end`; False where it would be smaller than numbers allow."""
        direction = math.copysign(1.0, self.h)
        while True:
            least = 10 * abs(math.nextafter(self.t, direction * math.inf) - self.t)
            if abs(self.h) > most:
                self._rescale(most / abs(self.h))
            if abs(self.h) < least:
                return False
            t = self.t + self.h
            if direction * (t - end) > 0:
                self._rescale(abs(end - self.t) / abs(self.h))
                t = end
            order, table = self.order, self.difference
            guess = table[: order + 1].sum(0)
            weights = [g / ALPHA[order] for g in GAMMA[1 : order + 1]]
            psi = combined(torch.zeros_like(guess), weights, list(table[1 : order + 1].unbind(0)))
            c = self.h / ALPHA[order]
            while True:
                if self.factors is None:
                    one = torch.eye(len(guess), dtype=guess.dtype, device=guess.device)
                    self.factors = linalg_lu_factor_ex(one - c * self.matrix)[:2]
                    self.nlu += 1
                converged, iterations, y, d = self._newton(t, guess, psi, c, rtol, atol)
                if converged or self.fresh:
                    break
                self.matrix, self.fresh, self.factors = self._jacobian(t, guess), True, None
            if not converged:
                self._rescale(0.5)
                continue
            safety = 0.9 * (2 * ITERATIONS + 1) / (2 * ITERATIONS + iterations)
            size = size_of(ERROR[order] * d, y, y, rtol, atol)
            if size <= 1:
                break
            self._rescale(max(LEAST, safety * size ** (-1 / (order + 1))))
        self.fresh, self.equal, self.t = False, self.equal + 1, t
        table[order + 2] = d - table[order + 1]
        table[order + 1] = d
        for k in reversed(range(order + 1)):
            table[k] += table[k + 1]
        if self.equal >= order + 1:
            self._choose(y, size, safety, rtol, atol)
        return True

    def _choose(self, y: torch.Tensor, size: float, safety: float, rtol: float, atol: float) -> None:
        """The order with the largest step, and that step."""
        order, table = self.order, self.difference
        below = size_of(ERROR[order - 1] * table[order], y, y, rtol, atol) if order > 1 else math.inf
        above = math.inf
        if order < HIGHEST:
            above = size_of(ERROR[order + 1] * table[order + 2], y, y, rtol, atol)
        factors = [
            math.inf if e == 0 else 0.0 if e == math.inf else e ** (-1 / (order + k))
            for k, e in enumerate((below, size, above))
        ]
        best = max(range(3), key=factors.__getitem__)
        self.order += best - 1
        self._rescale(min(MOST, safety * factors[best]))

    def interpolant(self) -> Callable[[float], torch.Tensor]:
        """The polynomial through the last states."""
        t, h, order, table = self.t, self.h, self.order, self.difference[: self.order + 1].clone()

        def at(place: float) -> torch.Tensor:
            product, weights = 1.0, []
            for k in range(order):
                product *= (place - (t - h * k)) / (h * (1 + k))
                weights.append(product)
            return combined(table[0], weights, list(table[1:].unbind(0)))

        return at

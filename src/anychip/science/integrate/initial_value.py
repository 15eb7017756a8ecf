"""Initial value problems under the name and signature of `scipy.integrate.solve_ivp`. Flows in: a function of
time and state, on arrays or tensors. Flows out: states at times, with gradients through explicit steps."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue, NotProvided
from .backward_differences import Differences
from .combination import combined, size_of
from .runge_kutta import METHODS, Method

SAFETY, LEAST, MOST = 0.9, 0.2, 10.0
TOO_SMALL = "Required step size is less than spacing between numbers."
REACHED = "The solver successfully reached the end of the integration interval."

Interpolant = Callable[[float], torch.Tensor]


@dataclass
class OdeResult:
    """t [m], y [n, m]; `sol` gives states at any time where dense_output asked for it; counts of calls, of
    Jacobians and of factorisations; status 0, or -1 with the reason in `message`."""

    t: Any
    y: Any
    sol: Any
    nfev: int
    njev: int
    nlu: int
    status: int
    message: str
    t_events: Any = None
    y_events: Any = None

    @property
    def success(self) -> bool:
        """Whether the end was reached."""
        return self.status >= 0


class OdeSolution:
    """States at any time of an integration."""

    def __init__(self, times: list[float], pieces: list[Interpolant], restore: Restore):
        self._times, self._pieces, self._restore = times, pieces, restore
        self._up = times[-1] >= times[0]

    def at(self, t: float) -> torch.Tensor:
        """The state [n] at one time."""
        ordered = self._times if self._up else [-x for x in self._times]
        k = bisect.bisect_left(ordered, t if self._up else -t) - 1
        return self._pieces[min(max(k, 0), len(self._pieces) - 1)](t)

    def __call__(self, t: Any) -> Any:
        """[n] for a number, [n, m] for m times."""
        if np.ndim(t) == 0:
            return self._restore(self.at(float(t)))
        return self._restore(torch.stack([self.at(float(one)) for one in t], 1))


class Explicit:
    """A Runge-Kutta method on its way."""

    njev = nlu = 0

    def __init__(
        self,
        method: Method,
        slope: Callable[[float, torch.Tensor], torch.Tensor],
        t: float,
        y: torch.Tensor,
        f: torch.Tensor,
        h: float,
    ):
        self.method, self.slope, self.t, self.y, self.f, self.h = method, slope, t, y, f, h
        self.before, self.slopes = (t, y), [f]

    def step(self, end: float, rtol: float, atol: float, most: float) -> bool:
        """One step towards `end`; False where it would be smaller than numbers allow."""
        direction, rejected, method = math.copysign(1.0, self.h), False, self.method
        while True:
            least = 10 * abs(math.nextafter(self.t, direction * math.inf) - self.t)
            size = min(max(abs(self.h), least), most) if not rejected else abs(self.h)
            if size < least:
                return False
            t = self.t + direction * size
            t = end if direction * (t - end) > 0 else t
            h = t - self.t
            slopes, y = [self.f], self.y
            for place, weights in zip(method.places[1:], method.stages[1:]):
                y = combined(self.y, [h * w for w in weights], slopes)
                slopes.append(self.slope(self.t + place * h, y))
            detached = [k.detach() for k in slopes]
            error = combined(torch.zeros_like(y.detach()), [h * w for w in method.error], detached)
            norm = size_of(error, self.y, y, rtol, atol)
            if norm < 1:
                break
            factor = SAFETY * norm ** (-1 / (method.order + 1)) if math.isfinite(norm) else LEAST
            self.h, rejected = h * max(LEAST, factor), True
        factor = MOST if norm == 0 else min(MOST, SAFETY * norm ** (-1 / (method.order + 1)))
        self.h = h * (min(1.0, factor) if rejected else factor)
        self.before, self.slopes = (self.t, self.y), slopes
        self.t, self.y, self.f = t, y, slopes[-1]
        return True

    def interpolant(self) -> Interpolant:
        """The polynomial of the last step."""
        (start, y), slopes, dense, h = self.before, self.slopes, self.method.dense, self.t - self.before[0]

        def at(place: float) -> torch.Tensor:
            x = (place - start) / h
            return combined(
                y, [h * sum(c * x ** (k + 1) for k, c in enumerate(row)) for row in dense], slopes
            )

        return at


def _first_step(
    slope: Any, t: float, y: torch.Tensor, f: torch.Tensor, end: float, order: int, rtol: float, atol: float
) -> float:
    """A step of which the error is about a hundredth of what is allowed (Hairer, Norsett and Wanner, "Solving
    ordinary differential equations I", 1993, II.4)."""
    y, f, span = y.detach(), f.detach(), abs(end - t)
    direction = math.copysign(1.0, end - t)
    d0, d1 = size_of(y, y, y, rtol, atol), size_of(f, y, y, rtol, atol)
    h = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, span)
    moved = slope(t + direction * h, combined(y, [direction * h], [f])).detach()
    d2 = size_of(moved - f, y, y, rtol, atol) / h
    steep = max(d1, d2)
    other = max(1e-6, h * 1e-3) if steep <= 1e-15 else (0.01 / steep) ** (1 / (order + 1))
    return direction * min(100 * h, other, span)


def _tolerances(dtype: torch.dtype, rtol: float, atol: Any) -> tuple[float, float]:
    if np.ndim(atol):
        raise NotProvided("solve_ivp takes one atol for all of the state", "Scale the components.")
    if atol < 0:
        raise InvalidValue("`atol` must be positive.")
    return max(float(rtol), 100 * torch.finfo(dtype).eps), float(atol)


def solve_ivp(
    fun: Callable[..., Any],
    t_span: Sequence[float],
    y0: Any,
    method: str = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: tuple[Any, ...] | None = None,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-6,
    first_step: float | None = None,
    max_step: float = math.inf,
    jac: Any = None,
) -> OdeResult:
    """y [n, m] at times t [m] of dy/dt = fun(t, y, *args), y(t_span[0]) = y0 [n], by the methods RK23, RK45
    and BDF (of stiff problems; `jac` is a matrix or a function of t and y, else differences of fun). `fun`
    gets arrays for an array y0 and tensors for a tensor. For explicit methods y is differentiable in y0 and
    in what fun depends on; the steps' sizes count as constants. float32, float64. Raises InvalidValue,
    InvalidType, and NotProvided for other methods, events, an atol of several numbers, and gradients
    through BDF."""
    if method not in (*METHODS, "BDF"):
        raise NotProvided(f"the method {method!r} is not served", "Use one of RK23, RK45, BDF.")
    if events is not None:
        raise NotProvided("solve_ivp serves no events")
    start, end = (float(t) for t in t_span)
    given, restore = taken(y0, "y0")
    y = inexact(given)
    if y.ndim != 1:
        raise InvalidValue("`y0` must be 1-dimensional.")
    if y.is_complex():
        raise InvalidType("complex states are not served", "Integrate real and imaginary parts.")
    if not bool(torch.isfinite(y).all()):
        raise InvalidValue("All components of the initial state `y0` must be finite.")
    if max_step <= 0 or (first_step is not None and not 0 < first_step <= abs(end - start)):
        raise InvalidValue("max_step must be positive, and first_step positive and not beyond the interval")
    rtol, atol = _tolerances(y.dtype, rtol, atol)
    more, calls = args or (), [0]

    def slope(t: float, state: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        found = fun(t, restore(state), *more)
        tensor = found if isinstance(found, torch.Tensor) else taken(np.asarray(found), "fun")[0]
        if tensor.shape != state.shape:
            raise InvalidValue(f"fun gives the shape {tuple(tensor.shape)} for a state of {len(state)}")
        return tensor.to(state.dtype).contiguous()

    times = None if t_eval is None else [float(t) for t in t_eval]
    direction = 1.0 if end >= start else -1.0
    if times is not None:
        ascending = [direction * t for t in times]
        if ascending != sorted(set(ascending)):
            raise InvalidValue("Values in `t_eval` are not properly sorted.")
        if times and (ascending[0] < direction * start or ascending[-1] > direction * end):
            raise InvalidValue("Values in `t_eval` are not within `t_span`.")
    f = slope(start, y)
    order = METHODS[method].order if method in METHODS else 1
    if start == end or not y.numel():
        kept = [start] if times is None else times
        states = y[:, None].expand(-1, len(kept)).clone()
        sol = OdeSolution([start, end], [lambda t: y], restore) if dense_output else None
        return OdeResult(
            restore(torch.tensor(kept, dtype=torch.float64)), restore(states), sol, calls[0], 0, 0, 0, REACHED
        )
    if first_step is None:
        h = _first_step(slope, start, y, f, end, order, rtol, atol)
    else:
        h = direction * first_step
    if method == "BDF":
        if y.requires_grad or f.requires_grad:
            raise NotProvided("the method BDF has no gradient", "Use RK45, or detach y0.")
        solver: Any = Differences(slope, _jacobian_of(jac, restore, more, y), start, y, f, h)
    else:
        solver = Explicit(METHODS[method], slope, start, y, f, h)
    reached, states, pieces, grid = [start], [y], [], [start]
    if times is not None:
        reached, states = [], []
    status, message = 0, REACHED
    while direction * (end - solver.t) > 0:
        if not solver.step(end, rtol, atol, max_step):
            status, message = -1, TOO_SMALL
            break
        grid.append(solver.t)
        if dense_output or times is not None:
            piece = solver.interpolant()
            pieces.append(piece)
            while times is not None and len(reached) < len(times):
                t = times[len(reached)]
                if direction * (t - solver.t) > 0:
                    break
                states.append(piece(t))
                reached.append(t)
        if times is None:
            reached.append(solver.t)
            states.append(solver.difference[0].clone() if method == "BDF" else solver.y)
    return OdeResult(
        restore(torch.tensor(reached, dtype=torch.float64)),
        restore(torch.stack(states, 1) if states else y.new_empty((len(y), 0))),
        OdeSolution(grid, pieces, restore) if dense_output and pieces else None,
        calls[0],
        solver.njev,
        solver.nlu,
        status,
        message,
    )


def _jacobian_of(jac: Any, restore: Restore, args: tuple[Any, ...], y: torch.Tensor) -> Any:
    """A Jacobian as a function of time and state that gives tensors."""
    if jac is None:
        return None
    if callable(jac):
        return lambda t, state: taken(jac(t, restore(state), *args), "jac")[0].to(y.dtype)
    fixed = taken(jac, "jac")[0].to(y.dtype)
    return lambda t, state: fixed

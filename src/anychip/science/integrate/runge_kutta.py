"""Explicit Runge-Kutta methods with an error of lower order: Bogacki and Shampine, "A 3(2) pair of
Runge-Kutta formulas" (1989), and Dormand and Prince, "A family of embedded Runge-Kutta formulae" (1980), with
the interpolant of Shampine, "Some practical Runge-Kutta formulas" (1986)."""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, ...]


@dataclass(frozen=True)
class Method:
    """Slope k is taken at t + places[k] h and y + h stages[k] . slopes; the last one at the next state, whose
    weights are `stages[-1]`. `error` weights all slopes; `dense` [slopes, powers from one] the interpolant's.
    `order` is that of the error."""

    order: int
    places: Row
    stages: tuple[Row, ...]
    error: Row
    dense: tuple[Row, ...]


RK23 = Method(
    2,
    (0, 1 / 2, 3 / 4, 1),
    ((), (1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (5 / 72, -1 / 12, -1 / 9, 1 / 8),
    ((1, -4 / 3, 5 / 9), (0, 1, -2 / 3), (0, 4 / 3, -8 / 9), (0, -1, 1)),
)
RK45 = Method(
    4,
    (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
    (
        (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0, 0, 0, 0),
        (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
)
METHODS = {"RK23": RK23, "RK45": RK45}

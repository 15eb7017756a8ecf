"""Arguments of operators that go element by element: those of the pointwise machinery by the schema, the
others one by one.

Flows in: an overload and a size. Flows out: its arguments.
"""

from __future__ import annotations

import torch

from ...ops.registry import Sample
from ...ops.schemas import overload_of
from .size import Size, Table, call

COST = {
    "igamma": 128,
    "igammac": 128,
    "special_zeta": 16,
    "polygamma": 16,
    "mvlgamma": 16,
    "digamma": 4,
    "lgamma": 4,
    "special_airy_ai": 16,
    "special_bessel_j0": 4,
    "special_bessel_j1": 4,
    "special_bessel_y0": 8,
    "special_bessel_y1": 8,
    "special_modified_bessel_k0": 4,
    "special_modified_bessel_k1": 4,
    "special_scaled_modified_bessel_k0": 4,
    "special_scaled_modified_bessel_k1": 4,
    "special_modified_bessel_i0": 4,
    "special_modified_bessel_i1": 4,
    "i0": 4,
    "special_i0e": 4,
    "special_i1": 4,
    "special_i1e": 4,
    "gcd": 8,
    "lcm": 8,
    "asinh": 2,
    "special_erfcx": 4,
    "special_ndtri": 4,
    "special_log_ndtr": 4,
    "erfinv": 2,
    "special_spherical_bessel_j0": 2,
    "special_chebyshev_polynomial_t": 8,
    "special_chebyshev_polynomial_u": 8,
    "special_chebyshev_polynomial_v": 8,
    "special_chebyshev_polynomial_w": 8,
    "special_shifted_chebyshev_polynomial_t": 8,
    "special_shifted_chebyshev_polynomial_u": 8,
    "special_shifted_chebyshev_polynomial_v": 8,
    "special_shifted_chebyshev_polynomial_w": 8,
    "special_hermite_polynomial_h": 4,
    "special_hermite_polynomial_he": 4,
    "special_laguerre_polynomial_l": 8,
    "special_legendre_polynomial_p": 8,
}
"""How many times dearer than an addition an operator is in PyTorch or here, where it matters."""


RANGES = {
    "acos": (-0.99, 0.99),
    "asin": (-0.99, 0.99),
    "atanh": (-0.95, 0.95),
    "acosh": (1.1, 9.0),
    "log": (0.1, 9.0),
    "log2": (0.1, 9.0),
    "log10": (0.1, 9.0),
    "log1p": (-0.9, 9.0),
    "sqrt": (0.1, 9.0),
    "rsqrt": (0.1, 9.0),
    "lgamma": (0.1, 9.0),
    "digamma": (0.1, 9.0),
    "logit": (0.05, 0.95),
    "logit_backward": (0.05, 0.95),
    "erfinv": (-0.95, 0.95),
    "special_ndtri": (0.05, 0.95),
    "special_entr": (0.1, 3.0),
    "xlogy": (0.1, 3.0),
    "special_xlog1py": (0.1, 3.0),
    "pow": (0.1, 3.0),
    "igamma": (0.5, 9.0),
    "igammac": (0.5, 9.0),
    "special_zeta": (1.5, 9.0),
    "mvlgamma": (3.0, 9.0),
    "float_power": (0.1, 3.0),
    "polygamma": (0.5, 9.0),
    "special_modified_bessel_k0": (0.1, 9.0),
    "special_modified_bessel_k1": (0.1, 9.0),
    "special_scaled_modified_bessel_k0": (0.1, 9.0),
    "special_scaled_modified_bessel_k1": (0.1, 9.0),
    "special_bessel_j0": (0.1, 9.0),
    "special_bessel_j1": (0.1, 9.0),
    "special_bessel_y0": (0.1, 9.0),
    "special_bessel_y1": (0.1, 9.0),
}
"""Values that are in the domain of a function; the others are given any from [-3, 3)."""
DIVISORS = frozenset({"div", "remainder", "fmod", "floor_divide", "gcd", "lcm"})
INTEGRAL = frozenset({"gcd", "lcm"})
DEGREE = 8
"""Degree of the polynomials."""


def by_schema(overload: str, size: Size, integral: bool = False) -> Sample:
    """Matrices for tensors and small numbers for scalars, as the schema asks for them."""
    name = overload.partition(".")[0]
    cost = COST.get(name, 1)
    low, high = RANGES.get(name, (-3.0, 3.0))
    positional: list[object] = []
    keywords: dict[str, object] = {}
    for seed, argument in enumerate(overload_of(overload)._schema.arguments):
        if argument.is_out or argument.has_default_value():
            continue
        kind = str(argument.type)
        if kind == "Tensor" and argument.name == "n":
            value: object = torch.full(size.matrix(cost), float(DEGREE))
        elif kind == "Tensor" and (integral or name in INTEGRAL):
            value = size.integers(1, 100, cost, seed)
        elif kind == "Tensor" and seed and name in DIVISORS:
            value = size.uniform(0.5, 3.0, cost, seed)
        elif kind == "Tensor":
            value = size.uniform(low, high, cost, seed)
        elif kind == "bool":
            value = False
        elif kind == "int":
            value = 2
        else:
            value = 2 if integral else 0.5
        if argument.kwarg_only:
            keywords[argument.name] = value
        else:
            positional.append(value)
    return Sample(tuple(positional), keywords)


def _halves(size: Size, seed: int) -> torch.Tensor:
    """A matrix with half as many columns."""
    return size.normal(seed=seed)[:, : size.columns // 2].contiguous()


def _glu_backward_jvp(s: Size) -> Sample:
    gradient, x = _halves(s, 1), s.normal(seed=2)
    backward = torch.ops.aten.glu_backward(gradient, x, -1)
    return call(backward, gradient, x, _halves(s, 3), s.normal(seed=4), -1)


def _log_sigmoid_buffer(size: Size) -> torch.Tensor:
    return torch.ops.aten.log_sigmoid_forward(size.normal())[1]


def _shifted(size: Size, *, by_number: bool = False) -> Sample:
    return call(size.integers(0, 100), 3 if by_number else size.integers(0, 8, seed=1))


TABLE: Table = {
    "gelu": lambda s: call(s.normal()),
    "gelu_backward": lambda s: call(s.normal(), s.normal(seed=1)),
    "glu": lambda s: call(s.normal(), -1),
    "glu_backward": lambda s: call(_halves(s, 1), s.normal(), -1),
    "glu_jvp": lambda s: call(_halves(s, 1), s.normal(), s.normal(seed=2), -1),
    "glu_backward_jvp": _glu_backward_jvp,
    "hardtanh": lambda s: call(s.normal()),
    "_prelu_kernel": lambda s: call(s.normal(), torch.full((1, 1), 0.25)),
    "_prelu_kernel_backward": lambda s: call(s.normal(), s.normal(seed=1), torch.full((1, 1), 0.25)),
    "softshrink": lambda s: call(s.normal(), 0.5),
    "softshrink_backward": lambda s: call(s.normal(), s.normal(seed=1), 0.5),
    "elu_backward": lambda s: call(s.normal(), 1.0, 1.0, 1.0, False, s.normal(seed=1)),
    "log_sigmoid_forward": lambda s: call(s.normal()),
    "log_sigmoid_backward": lambda s: call(s.normal(seed=1), s.normal(), _log_sigmoid_buffer(s)),
    "div.Tensor_mode": lambda s: call(s.normal(), s.uniform(0.5, 3.0), rounding_mode="floor"),
    "addr": lambda s: call(s.normal(), s.normal()[:, 0].clone(), s.normal()[0].clone()),
    "complex": lambda s: call(s.normal(), s.normal(seed=1)),
    "polar": lambda s: call(s.uniform(0.0, 3.0), s.normal(seed=1)),
    "pow.Tensor_Scalar": lambda s: call(s.uniform(0.1, 3.0), 2.5),
    "pow.Scalar": lambda s: call(2.5, s.normal()),
    "bitwise_left_shift.Tensor": _shifted,
    "__lshift__.Tensor": _shifted,
    "__lshift__.Scalar": lambda s: _shifted(s, by_number=True),
    "__ilshift__.Tensor": _shifted,
    "__ilshift__.Scalar": lambda s: _shifted(s, by_number=True),
    "bitwise_right_shift.Tensor": _shifted,
    "__rshift__.Tensor": _shifted,
    "__rshift__.Scalar": lambda s: _shifted(s, by_number=True),
    "__irshift__.Tensor": _shifted,
    "__irshift__.Scalar": lambda s: _shifted(s, by_number=True),
    "isin.Tensor_Tensor": lambda s: call(s.integers(0, 1000, cost=4), s.integers(0, 1000)[0, :64].clone()),
    "isin.Tensor_Scalar": lambda s: call(s.integers(0, 10), 2),
    "isin.Scalar_Tensor": lambda s: call(2, s.integers(0, 10, cost=4)),
    "equal": lambda s: call(s.normal(), s.normal()),
    "heaviside": lambda s: call(s.normal(), s.normal(seed=1)),
    "nextafter": lambda s: call(s.normal(), s.normal(seed=1)),
    "frexp.Tensor": lambda s: call(s.normal()),
    "nan_to_num": lambda s: call(s.normal()),
    "conj_physical.out": lambda s: call(s.normal(), out=torch.empty(s.matrix())),
    "round.decimals": lambda s: call(s.normal(), decimals=2),
    "where.self": lambda s: call(s.coins(), s.normal(), s.normal(seed=1)),
    "masked_fill.Scalar": lambda s: call(s.normal(), s.coins(), 0.5),
    "masked_fill.Tensor": lambda s: call(s.normal(), s.coins(), torch.tensor(0.5)),
    "clamp": lambda s: call(s.normal(), -0.5, 0.5),
    "clamp.Tensor": lambda s: call(s.normal(), s.uniform(-2.0, -0.5), s.uniform(0.5, 2.0, seed=1)),
    "polygamma": lambda s: call(1, s.uniform(0.5, 9.0, COST["polygamma"])),
    "mvlgamma": lambda s: call(s.uniform(3.0, 9.0, COST["mvlgamma"]), 3),
    "logit": lambda s: call(s.uniform(0.05, 0.95), None),
    "logit_backward": lambda s: call(s.normal(), s.uniform(0.05, 0.95), None),
}

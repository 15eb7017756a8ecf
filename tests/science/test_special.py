"""Special functions against mpmath, at no larger error than a few units in the last place, and gradients by
finite differences."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
import torch

from anychip.ops.launching import launch_counts
from anychip.science import special

UNEVEN = np.array([0.013, 0.31, 0.77, 0.99])

# name, arguments, mpmath's function, most units in the last place
CASES = (
    ("ellipk", ([-4.0, -0.3, 0.2, 0.999999],), mpmath.ellipk, 4),
    ("ellipe", ([-4.0, -0.3, 0.2, 0.999999],), mpmath.ellipe, 4),
    ("ellipkm1", ([1e-30, 1e-3, 0.4, 5.0],), lambda p: mpmath.ellipk(1 - p), 4),
    ("ellipkinc", ([-7.0, -1.5, 0.4, 3.0], [0.9, -2.0, 0.5, 0.99]), mpmath.ellipf, 16),
    ("ellipeinc", ([-7.0, -1.5, 0.4, 3.0], [0.9, -2.0, 0.5, 0.99]), mpmath.ellipe, 16),
    ("elliprf", ([0.0, 1.0, 2.0, 3.0], [1.0, 4.0, 1e-6, 3.0], [2.0, 5.0, 1e6, 3.0]), mpmath.elliprf, 6),
    ("elliprd", ([0.0, 1.0, 2.0, 3.0], [1.0, 4.0, 1e-6, 3.0], [2.0, 5.0, 1e6, 3.0]), mpmath.elliprd, 8),
    ("elliprc", ([0.0, 1.0, 2.0, 3.0], [1.0, 4.0, -1.5, 3.0]), mpmath.elliprc, 6),
    ("exp1", ([1e-5, 0.7, 1.3, 50.0],), mpmath.e1, 6),
    ("expi", ([-20.0, -0.5, 1.5, 37.0, 60.0],), mpmath.ei, 10),
    ("spence", ([1e-5, 0.3, 1.0, 1.7, 80.0],), lambda z: mpmath.re(mpmath.polylog(2, 1 - z)), 6),
    ("kv", ([0.0, 0.3, -2.5, 7.0], [1e-3, 1.9, 2.1, 60.0]), mpmath.besselk, 40),
    ("kve", ([0.5, 1.3], [0.4, 1e4]), lambda v, x: mpmath.besselk(v, x) * mpmath.exp(x), 40),
    ("iv", ([0.0, 0.3, 2.5, -1.3, 7.0], [1e-3, 1.9, 2.1, 3.0, 90.0]), mpmath.besseli, 40),
    ("ive", ([0.5, 1.3], [0.4, 1e3]), lambda v, x: mpmath.besseli(v, x) * mpmath.exp(-x), 40),
)
QUICK = ("ellipk", "kv")
"""What `make test` tries; each function is a kernel that must be compiled."""


def units(found, wanted):
    exact = np.array([float(x) for x in wanted])
    return np.abs(found - exact) / np.spacing(np.abs(exact))


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case[0], marks=() if case[0] in QUICK else pytest.mark.slow) for case in CASES],
)
def test_units_in_the_last_place(case):
    name, arguments, oracle, most = case
    with mpmath.workdps(80):
        wanted = [oracle(*(mpmath.mpf(x) for x in place)) for place in zip(*arguments)]
    before = sum(launch_counts.values())
    found = getattr(special, name)(*(np.array(x) for x in arguments))
    assert sum(launch_counts.values()) == before + 1
    assert units(found, wanted).max() <= most
    # NaN, infinity and zero as SciPy has them
    if len(arguments) == 1:
        edges = np.array([0.0, np.inf, np.nan, 1.0])
        np.testing.assert_allclose(
            getattr(special, name)(edges), getattr(scipy.special, name)(edges), rtol=1e-14, equal_nan=True
        )


@pytest.mark.slow
def test_sine_and_cosine_integrals():
    x = np.array([1e-4, 0.5, 3.9, 4.1, 100.0])
    with mpmath.workdps(80):
        for found, oracle in zip(special.sici(x), (mpmath.si, mpmath.ci)):
            assert units(found, [oracle(mpmath.mpf(one)) for one in x]).max() <= 24  # in the series, up to 4
    for found, wanted in zip(
        special.sici(np.array([0.0, np.inf])), scipy.special.sici(np.array([0.0, np.inf]))
    ):
        np.testing.assert_array_equal(found, wanted)


GRADIENTS = {
    "ellipk": ((-0.7, 0.6),),
    "ellipe": ((-0.7, 0.6),),
    "ellipkm1": ((0.2, 1.7),),
    "ellipkinc": ((-2.0, 0.7), (0.3, -0.4)),
    "ellipeinc": ((-2.0, 0.7), (0.3, -0.4)),
    "elliprf": ((0.4, 1.0), (2.0, 1.0), (3.0, 1.0)),
    "exp1": ((0.3, 2.0),),
    "expi": ((-0.3, 2.0),),
    "spence": ((0.4, 3.0),),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.slow
def test_gradients(name):
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in GRADIENTS[name]]
    assert torch.autograd.gradcheck(getattr(special, name), leaves)


@pytest.mark.parametrize("name", ["kv", "kve", "iv", "ive"])
@pytest.mark.slow
def test_gradients_of_bessel_functions(name):
    x = torch.tensor([0.7, 3.0], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([0.3, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: getattr(special, name)(v, x), (x,))
    with pytest.raises(NotImplementedError, match="argument 1"):
        getattr(special, name)(v.requires_grad_(), x.detach()).sum().backward()


def test_kinds_of_arguments():
    assert special.ellipk(0.5) == pytest.approx(scipy.special.ellipk(0.5), rel=1e-15)
    assert special.ellipk(np.float32([0.5])).dtype == np.float32
    assert special.ellipk(np.array([0, 0])).dtype == np.float64
    assert special.kv(0.5, np.float32([0.5])).dtype == scipy.special.kv(0.5, np.float32([0.5])).dtype
    assert special.iv(1.0, UNEVEN[:, None] * [1.0, 2.0]).shape == (4, 2)
    assert isinstance(special.ellipk(torch.tensor([0.5])), torch.Tensor)
    assert np.isnan(special.ellipk(1.5))
    assert np.isnan(special.kv(1.0, -1.0))
    for wrong in ((1j,), (), (1.0, 2.0)):
        with pytest.raises(TypeError):
            special.ellipk(*wrong)

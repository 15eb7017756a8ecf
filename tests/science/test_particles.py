"""Lists of neighbours, the Lennard-Jones fluid and charges against all pairs, published constants and laws of
conservation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from anychip.ops.launching import launch_counts
from anychip.science import simulation


def crystal(side, spacing, noise=0.1, seed=0):
    """Positions [side^3, 3] near a cubic lattice."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3) * spacing
    return grid + noise * torch.randn(grid.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("box", [(6.0, 6.0, 6.0), (9.0, 5.0, 7.5)])
def test_neighbours(box):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((120, 3), generator=generator, dtype=torch.float64) * torch.tensor(box)
    found = simulation.neighbours(x + 3 * torch.tensor(box), box, 1.7)
    tree = cKDTree(x.numpy(), boxsize=box)
    wanted = tree.query_ball_point(x.numpy(), 1.7)
    for i, one in enumerate(found.order.tolist()):
        mine = found.order[found.lists[: int(found.counts[i]), i].long()].tolist()
        assert sorted(mine) == sorted(set(wanted[one]) - {one})


def test_lists_that_are_too_short_are_made_anew():
    x = 0.1 * crystal(4, 1.0, 0.0)  # all in one corner
    found = simulation.neighbours(x, 10.0, 1.0)
    assert (found.counts == 63).all()


def test_a_fluid_keeps_its_energy():
    generator = torch.Generator().manual_seed(1)
    x = crystal(4, 1.7, 0.05)
    v = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    fluid = simulation.LennardJones(x, v, 6.8, cutoff=2.05)  # between shells, so that none crosses it
    fluid.rescale(0.8)
    start = fluid.positions
    np.testing.assert_allclose(start, x)
    assert fluid.temperature() == pytest.approx(0.8)
    whole = fluid.energy(tail=False) + 1.5 * fluid.temperature() * 63 / 64
    before = launch_counts["pair_forces_kernel"]
    fluid.step(0.002, 60)
    assert launch_counts["pair_forces_kernel"] == before + 60
    assert fluid.energy(tail=False) + 1.5 * fluid.temperature() * 63 / 64 == pytest.approx(whole, abs=5e-3)
    np.testing.assert_allclose(fluid.velocities.sum(0), 0, atol=1e-10)
    # and goes back where it came from
    fluid._speed *= -1
    fluid.step(0.002, 60)
    np.testing.assert_allclose(fluid.positions, x, atol=1e-9)


def test_the_energy_and_its_gradient():
    x = crystal(3, 1.25).requires_grad_()
    found = simulation.lennard_jones_energy(x, 3.75, 1.8)
    (slope,) = torch.autograd.grad(found, x)
    d = x[:, None] - x
    d = d - 3.75 * torch.floor(d.detach() / 3.75 + 0.5)
    square = d.square().sum(-1) + 1e9 * torch.eye(27)
    sixth = torch.where(square < 1.8**2, square**-3, 0.0)
    wanted = 2 * (sixth**2 - sixth).sum()
    (right,) = torch.autograd.grad(wanted, x)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
    np.testing.assert_allclose(slope, right, atol=1e-10 * float(right.abs().max()))


def test_radial_distribution():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((400, 3), generator=generator, dtype=torch.float64) * 8
    r, g = simulation.radial_distribution(x, 8.0, 4.0, 8)
    pairs = cKDTree(x.numpy(), boxsize=8.0).count_neighbors(cKDTree(x.numpy(), boxsize=8.0), np.arange(9) / 2)
    shells = 4 / 3 * math.pi * np.diff((np.arange(9) / 2) ** 3)
    np.testing.assert_allclose(g, np.diff(pairs - 400) / (400 * 399 / 512 * shells), rtol=1e-12)
    np.testing.assert_allclose(r, np.arange(8) / 2 + 0.25)
    np.testing.assert_allclose(g[2:], 1, atol=0.1)


def salt(side):
    grid = torch.cartesian_prod(*[torch.arange(side)] * 3)
    return grid.double(), (1 - 2 * (grid.sum(1) % 2)).double()


@pytest.mark.parametrize("accuracy", [1e-6, pytest.param(1e-12, marks=pytest.mark.slow)])
def test_madelung_s_constant(accuracy):
    x, q = salt(4)
    energy = simulation.ewald_energy(x, q, 4.0, accuracy=accuracy)
    assert float(energy) / 32 == pytest.approx(-1.7475645946331822, rel=10 * accuracy)


@pytest.mark.slow
def test_charges_do_not_depend_on_the_split():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((10, 3), generator=generator, dtype=torch.float64) * 4
    q = torch.randn(10, generator=generator, dtype=torch.float64)
    wide, narrow = (simulation.ewald_energy(x, q, (4.0, 5.0, 6.0), r, 1e-12) for r in (2.0, 1.4))
    assert float(wide) == pytest.approx(float(narrow), rel=1e-9)
    x.requires_grad_(), q.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, q: simulation.ewald_energy(x, q, 4.0), (x, q), atol=1e-5)


@pytest.mark.slow
def test_a_thin_gas_is_that_of_its_second_virial_coefficient():
    generator = torch.Generator().manual_seed(3)
    x = crystal(6, 5.0, 0.1)
    box, temperature = 30.0, 3.0
    r = np.linspace(1e-3, 3.0, 60001)
    mayer = np.exp(-4 * (r**-12.0 - r**-6.0) / temperature) - 1
    second = -2 * math.pi * np.trapezoid(mayer * r**2, r)
    fluid = simulation.LennardJones(x, torch.randn(x.shape, generator=generator, dtype=x.dtype), box, 3.0)
    fluid.rescale(temperature)
    excess = []
    for k in range(2500):
        fluid.step(0.01)
        if k > 200:
            ideal = fluid.density * fluid.temperature()
            excess.append(fluid.pressure(tail=False) / ideal - 1)
    assert np.mean(excess) == pytest.approx(second * fluid.density, abs=0.004)


def test_what_is_refused():
    x = torch.zeros((2, 3), dtype=torch.float64)
    with pytest.raises(ValueError, match="half of the box"):
        simulation.neighbours(x, 2.0, 1.5)
    with pytest.raises(ValueError, match="shape"):
        simulation.neighbours(x.T, 2.0, 0.5)
    with pytest.raises(ValueError, match="box must be"):
        simulation.lennard_jones_energy(x, (1.0, 2.0))
    with pytest.raises(ValueError, match="one for each"):
        simulation.ewald_energy(x, torch.ones(3, dtype=torch.float64), 4.0)

"""Steps of simulations against the same written with NumPy, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anychip.ops.launching import launch_counts
from anychip.science.simulation.lattice_boltzmann import (
    OPPOSITE,
    VELOCITIES,
    WEIGHTS,
    LatticeBoltzmann,
)


def reference_step(f, solid, inlet, even, odd):
    """One step by the definitions, node by node."""
    _, height, width = f.shape
    rho = f.sum(0)
    u = np.tensordot(np.array(VELOCITIES, float).T, f, 1) / rho
    arrived = np.empty_like(f)
    for i, (cx, cy) in enumerate(VELOCITIES):
        for y in range(height):
            for x in range(width):
                fx, fy = x - cx, y - cy
                turned = f[OPPOSITE[i], y, x]
                if 0 <= fy < height and 0 <= fx < width and not solid[fy, fx]:
                    arrived[i, y, x] = f[i, fy, fx]
                elif fx < 0:
                    arrived[i, y, x] = turned + 6 * WEIGHTS[i] * inlet[y]
                elif fx >= width and 0 <= fy < height:
                    along = cx * u[0, y, x] + cy * u[1, y, x]
                    square = (u[:, y, x] ** 2).sum()
                    still = 2 * WEIGHTS[i] * (1 + 4.5 * along**2 - 1.5 * square)
                    arrived[i, y, x] = still - turned
                else:
                    arrived[i, y, x] = turned
    rho = arrived.sum(0)
    u = np.tensordot(np.array(VELOCITIES, float).T, arrived, 1) / rho
    out = np.empty_like(f)
    for i, (cx, cy) in enumerate(VELOCITIES):
        o, along, square = OPPOSITE[i], cx * u[0] + cy * u[1], (u**2).sum(0)
        level = WEIGHTS[i] * rho * (1 + 4.5 * along**2 - 1.5 * square)
        slope = WEIGHTS[i] * rho * 3 * along
        symmetric, skew = 0.5 * (arrived[i] + arrived[o]), 0.5 * (arrived[i] - arrived[o])
        out[i] = arrived[i] - even * (symmetric - level) - odd * (skew - slope)
    return out


@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)])
def test_a_step(dtype):
    solid = torch.zeros(7, 70)
    solid[2:4, 5:8] = 1
    flow = LatticeBoltzmann(solid, torch.linspace(0.01, 0.05, 7), 0.03, dtype)
    generator = torch.Generator().manual_seed(0)
    flow.f = flow.f * (1 + 0.1 * torch.rand(flow.f.shape, generator=generator).to(dtype))
    wanted = flow.f.double().clone().numpy()
    before = launch_counts["lattice_kernel"]
    flow.step(2)
    assert launch_counts["lattice_kernel"] == before + 2
    for _ in range(2):
        wanted = reference_step(wanted, solid.numpy(), flow.inlet.double().numpy(), flow.even, flow.odd)
    np.testing.assert_allclose(flow.f.numpy(), wanted, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.slow
def test_flow_between_plates_is_a_parabola():
    height = 9
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    parabola = 0.04 * 4 * y * (1 - y)
    flow = LatticeBoltzmann(torch.zeros(height, 24), parabola, 0.1)
    flow.step(3000)
    along, across = flow.velocity()
    np.testing.assert_allclose(along[:, 12], parabola, atol=4e-4)
    assert across[:, 8:16].abs().max() < 1e-5
    # the pressure, a third of the density, falls by 8 nu u_max / height^2 a node
    slope = float(flow.density()[4, 6] - flow.density()[4, 16]) / 10 / 3
    assert slope == pytest.approx(8 * 0.1 * 0.04 / height**2, rel=0.03)


def test_what_is_refused():
    with pytest.raises(ValueError, match="viscosity"):
        LatticeBoltzmann(torch.zeros(4, 5), torch.zeros(4), 0.0)
    with pytest.raises(ValueError, match="height of it"):
        LatticeBoltzmann(torch.zeros(4, 5), torch.zeros(5), 0.1)

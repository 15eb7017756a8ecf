"""A fluid of Lennard and Jones's particles at a published state point: pressure, energy and structure.

    python examples/science/fluid.py            # writes fluid.svg
    python examples/science/fluid.py --compare  # time and memory beside the same written with SciPy

500 particles at the density 0.86 and the temperature 0.85, cut off at 3 with what is beyond added. NIST's
Standard Reference Simulation Website has for it, by Monte Carlo, an energy of -6.0305 (2.4e-3) a particle and
a pressure of 1.2660 (1.4e-2). The radial distribution is checked by the pressure that follows from it
alone."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import beside
import numpy as np
import picture
import torch
from scipy.spatial import cKDTree

from anychip.science.simulation import LennardJones, radial_distribution

COUNT, DENSITY, TEMPERATURE, CUTOFF = 500, 0.86, 0.85, 3.0
ENERGY, PRESSURE = -6.0305, 1.2660
STEP, SETTLING, STEPS, EVERY = 0.004, 3000, 9000, 10
BOX = (COUNT / DENSITY) ** (1 / 3)


def start() -> tuple[torch.Tensor, torch.Tensor]:
    """Positions on a cubic lattice with some places free, and velocities."""
    side = math.ceil(COUNT ** (1 / 3))
    grid = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3)
    generator = torch.Generator().manual_seed(0)
    kept = torch.randperm(len(grid), generator=generator)[:COUNT]
    velocities = torch.randn((COUNT, 3), generator=generator, dtype=torch.float64)
    return (grid[kept] + 0.5) * (BOX / side), velocities * math.sqrt(TEMPERATURE)


def settled(steps: int) -> LennardJones:
    """The fluid after some steps at the temperature."""
    fluid = LennardJones(*start(), BOX, CUTOFF)
    fluid.rescale(TEMPERATURE)
    for _ in range(0, steps, EVERY):
        fluid.step(STEP, EVERY)
        fluid.rescale(TEMPERATURE)
    return fluid


def with_scipy(steps: int) -> float:
    """The same steps with SciPy's tree of neighbours; returns the energy of a particle."""
    x, v = (one.numpy() for one in start())

    def forces(x: np.ndarray) -> tuple[np.ndarray, float]:
        pairs = cKDTree(np.mod(x, BOX), boxsize=BOX).query_pairs(CUTOFF, output_type="ndarray")
        d = x[pairs[:, 0]] - x[pairs[:, 1]]
        d -= BOX * np.round(d / BOX)
        second = 1 / (d**2).sum(1)
        sixth = second**3
        pull = (24 * (2 * sixth**2 - sixth) * second)[:, None] * d
        out = np.zeros_like(x)
        np.add.at(out, pairs[:, 0], pull)
        np.subtract.at(out, pairs[:, 1], pull)
        return out, float(4 * (sixth**2 - sixth).sum())

    force, energy = forces(x)
    for _ in range(steps):
        v = v + 0.5 * STEP * force
        x = x + STEP * v
        force, energy = forces(x)
        v = v + 0.5 * STEP * force
    return energy / COUNT


def main() -> None:
    """Run, check and draw."""
    few = 200
    works = {
        "anychip": lambda: LennardJones(*start(), BOX, CUTOFF).step(STEP, few),
        "scipy": lambda: with_scipy(few),
    }
    if "--only" in sys.argv:
        LennardJones(*start(), BOX, CUTOFF).step(STEP, 1)  # compiled before it is measured
        beside.ways(works)
        return
    if "--compare" in sys.argv:
        print(f"{few} steps of {COUNT} particles:")
        beside.compared(tuple(works))
        return
    fluid = settled(SETTLING)
    energies, pressures, warmths, structures = [], [], [], []
    r = torch.empty(0)
    for k in range(0, STEPS, EVERY):
        fluid.step(STEP, EVERY)
        energies.append(fluid.energy())
        pressures.append(fluid.pressure())
        warmths.append(fluid.temperature())
        if k % (10 * EVERY) == 0:
            fluid.rescale(TEMPERATURE)
            r, g = radial_distribution(fluid.positions, BOX, BOX / 2, 150)
            structures.append(g.numpy())
    energy, pressure, warmth = (float(np.mean(one)) for one in (energies, pressures, warmths))
    distance, structure = r.numpy(), np.mean(structures, 0)
    inside = (distance < CUTOFF) & (structure > 0)
    d = distance[inside]
    slope = 24 * (2 * d**-12 - d**-6)  # minus the distance times the potential's slope
    integral = (slope * structure[inside] * d**2).sum() * (distance[1] - distance[0])
    third = CUTOFF**-3
    tail = 16 / 3 * math.pi * DENSITY**2 * (2 / 3 * third**3 - third)
    by_structure = DENSITY * warmth + 2 / 3 * math.pi * DENSITY**2 * integral + tail
    picture.curves(
        Path("fluid.svg"), distance, [("g(r)", structure)], "distance", "pairs beside even density"
    )
    print(f"temperature {warmth:.4f}; lists of neighbours were made {fluid.lists_made} times")
    print(f"energy {energy:.4f}, published {ENERGY}")
    print(
        f"pressure {pressure:.3f}, published {PRESSURE}, of the radial distribution alone {by_structure:.3f}"
    )
    print(f"fluid.svg: the radial distribution, with its peak of {structure.max():.2f} at "
          f"{distance[structure.argmax()]:.3f}")  # fmt: skip
    if abs(energy - ENERGY) > 0.03 or abs(pressure - PRESSURE) > 0.15 or abs(by_structure - pressure) > 0.3:
        raise SystemExit("Energy, pressure or radial distribution is off.")


if __name__ == "__main__":
    main()

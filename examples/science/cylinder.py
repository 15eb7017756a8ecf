"""Flow past a cylinder in a channel, which sheds vortices at a published rate.

    python examples/science/cylinder.py            # writes cylinder.png; --fine: twice as many nodes a side
    python examples/science/cylinder.py --compare  # time and memory beside the same written with NumPy

The case 2D-2 of Schaefer and Turek, "Benchmark computations of laminar flow around a cylinder" (1996): a
channel 4.1 diameters wide, the cylinder 0.05 diameters below its middle, Reynolds number 100 by the mean
velocity. The Strouhal number (diameters that the mean flow goes while a pair of vortices is shed, inverted)
is 0.295 to 0.305."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import beside
import numpy as np
import picture
import torch

from anychip import science
from anychip.science.simulation.lattice_boltzmann import OPPOSITE, VELOCITIES, WEIGHTS, LatticeBoltzmann

REYNOLDS, SPEED, PERIODS, EVERY = 100.0, 0.06, 18, 5
PUBLISHED = (0.295, 0.305)


def channel(diameter: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """(solid [height, width], the inlet's velocity [height], viscosity), in nodes and steps."""
    height, width = round(4.1 * diameter), 22 * diameter
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5, torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )  # fmt: skip
    solid = (x - 2 * diameter) ** 2 + (y - 2 * diameter) ** 2 < (diameter / 2) ** 2
    place = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    return solid, 6 * SPEED * place * (1 - place), SPEED * diameter / REYNOLDS


def shed(diameter: int, steps: int) -> tuple[LatticeBoltzmann, np.ndarray]:
    """The flow, and the velocity across the channel behind the cylinder at every EVERY-th step."""
    solid, inlet, viscosity = channel(diameter)
    flow = LatticeBoltzmann(solid, inlet, viscosity)
    ramp = 10 * solid.shape[1]
    across = torch.tensor(VELOCITIES, dtype=torch.float64)[:, 1]
    history = []
    for k in range(0, steps, EVERY):
        # opened slowly, as a sudden inlet leaves sound in the channel
        flow.inlet = inlet * math.sin(0.5 * math.pi * min(1.0, (k + 1) / ramp)) ** 2
        flow.step(EVERY)
        history.append(float(across @ flow.f[:, 2 * diameter, 4 * diameter]))
    return flow, np.array(history)


def strouhal(history: np.ndarray, diameter: int) -> float:
    """By the highest peak of the spectrum of the last half, between whose points a parabola is laid."""
    x = history[len(history) // 2 :]
    power = np.abs(science.fft.rfft((x - x.mean()) * np.hanning(len(x)), 8 * len(x)))
    k = int(power.argmax())
    a, b, c = np.log(power[k - 1 : k + 2])
    frequency = (k + 0.5 * (a - c) / (a - 2 * b + c)) / (8 * len(x) * EVERY)
    return frequency * diameter / SPEED


def with_numpy(diameter: int, steps: int) -> np.ndarray:
    """The same flow by whole arrays of NumPy."""
    solid_, inlet_, viscosity = channel(diameter)
    solid, inlet = solid_.numpy(), inlet_.numpy()
    c, w = np.array(VELOCITIES), np.array(WEIGHTS)[:, None, None]
    even, odd = 1 / (3 * viscosity + 0.5), 1 / (3 / 16 / (3 * viscosity) + 0.5)
    f = np.broadcast_to(w, (9, *solid.shape)).copy()
    padded = np.pad(solid, 1, constant_values=True)
    behind = [np.roll(padded, (cy, cx), (0, 1))[1:-1, 1:-1] for cx, cy in VELOCITIES]
    for _ in range(steps):
        rho = f.sum(0)
        u = np.tensordot(c.T, f, 1) / rho
        moved = np.empty_like(f)
        for i, (cx, cy) in enumerate(VELOCITIES):
            moved[i] = np.where(behind[i], f[OPPOSITE[i]], np.roll(f[i], (cy, cx), (0, 1)))
            if cx == 1:
                moved[i, :, 0] = f[OPPOSITE[i], :, 0] + 6 * w[i, 0, 0] * inlet
            if cx == -1:
                along = cx * u[0, :, -1] + cy * u[1, :, -1]
                still = 2 * w[i, 0, 0] * (1 + 4.5 * along**2 - 1.5 * (u[:, :, -1] ** 2).sum(0))
                rows = slice(max(cy, 0), len(solid) + min(cy, 0))
                moved[i, rows, -1] = (still - f[OPPOSITE[i], :, -1])[rows]
        rho = moved.sum(0)
        u = np.tensordot(c.T, moved, 1) / rho
        along = np.tensordot(c, u, 1)
        level = w * rho * (1 + 4.5 * along**2 - 1.5 * (u**2).sum(0))
        turned = moved[list(OPPOSITE)]
        f = (
            moved
            - even * (0.5 * (moved + turned) - level)
            - odd * (0.5 * (moved - turned) - 3 * w * rho * along)
        )
    return f


def main() -> None:
    """Run, check and draw."""
    diameter = 40 if "--fine" in sys.argv else 20
    few = 200
    works = {
        "anychip": lambda: shed(diameter, few),
        "numpy": lambda: with_numpy(diameter, few),
    }
    if "--only" in sys.argv:
        shed(4, EVERY)  # compiled before it is measured
        beside.ways(works)
        return
    if "--compare" in sys.argv:
        print(f"{few} steps of {round(4.1 * diameter)} by {22 * diameter} nodes:")
        beside.compared(tuple(works))
        return
    steps = round(PERIODS * diameter / SPEED / 0.3)
    flow, history = shed(diameter, steps)
    found = strouhal(history, diameter)
    along, across = flow.velocity().numpy()
    vorticity = np.gradient(across, axis=1) - np.gradient(along, axis=0)
    vorticity[np.asarray(flow.solid) != 0] = 0
    picture.field(Path("cylinder.png"), np.clip(vorticity, -0.3 * SPEED, 0.3 * SPEED))
    print(f"Strouhal number {found:.4f} after {steps} steps; published {PUBLISHED[0]} to {PUBLISHED[1]}")
    print("cylinder.png: vorticity")
    # the cylinder is made of squares, and the flow a little compressible
    if not PUBLISHED[0] * 0.97 < found < PUBLISHED[1] * 1.03:
        raise SystemExit("The Strouhal number is off by more than 3 %.")


if __name__ == "__main__":
    main()

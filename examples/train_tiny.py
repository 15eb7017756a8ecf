"""Train a small network on two spirals; forward and backward run on portable kernels.

python examples/train_tiny.py
"""

import math

import torch
from torch import nn

import anychip


def spirals(points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two interleaved spirals, (2 * points, 2), and which spiral each is on."""
    turn = torch.linspace(0.5, 3.0 * math.pi, points)
    arm = torch.stack([turn * torch.cos(turn), turn * torch.sin(turn)], dim=1) / 10
    return torch.cat([arm, -arm]), torch.cat([torch.zeros(points), torch.ones(points)]).long()


def main() -> None:
    torch.manual_seed(0)
    x, label = spirals(200)
    network = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)

    with anychip.using("portable"):
        for _ in range(300):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), label)
            loss.backward()
            optimizer.step()
        right = (network(x).argmax(dim=1) == label).float().mean().item()
    assert right > 0.95
    print(f"loss {loss.item():.4f}, {right:.1%} of the points on the right spiral")


if __name__ == "__main__":
    main()

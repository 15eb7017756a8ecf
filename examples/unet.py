"""Train a small U-Net (Ronneberger et al., arXiv:1505.04597) to find discs in noise; convolution, group
normalisation, pooling and upsampling, forward and backward, run on portable kernels.

python examples/unet.py
"""

import copy

import torch
from torch import nn

import anychip


def block(channels_in: int, channels: int) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(nn.Conv2d(channels_in, channels, 3, padding=1), nn.GroupNorm(4, channels), nn.SiLU())


class UNet(nn.Module):
    """One step down, one step up, and the way across."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = block(1, 8), block(8, 16)
        self.pool = nn.AvgPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.widen = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.up = block(16 + 8 + 8, 8)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        across = self.down(x)
        below = self.middle(self.pool(across))
        return self.head(self.up(torch.cat([across, self.upsample(below), self.widen(below)], dim=1)))


def discs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images, (count, 1, 16, 16), and where the disc in each is."""
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    center = 4 + 8 * torch.rand(count, 2, 1, 1)
    inside = ((row - center[:, 0]) ** 2 + (column - center[:, 1]) ** 2 < 12).float()[:, None]
    return inside + 0.5 * torch.randn(count, 1, 16, 16), inside


def train(network: nn.Module, image: torch.Tensor, inside: torch.Tensor) -> list[float]:
    """The losses of 20 steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02, foreach=False)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(image), inside)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    torch.manual_seed(0)
    image, inside = discs(16)
    network = UNet()
    expected = train(copy.deepcopy(network), image, inside)
    with anychip.using("strict"):
        found = train(network, image, inside)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-3, atol=1e-4)
    assert found[-1] < found[0] / 2
    print(f"loss {found[0]:.4f} -> {found[-1]:.4f}; PyTorch's own kernels: {expected[-1]:.4f}")


if __name__ == "__main__":
    main()

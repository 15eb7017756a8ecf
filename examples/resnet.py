"""Train a small residual network (He et al., arXiv:1512.03385) to tell textures apart; convolution, batch
normalisation and pooling, forward and backward, run on portable kernels, and the losses are PyTorch's.

python examples/resnet.py
"""

import copy

import torch
from torch import nn

import anychip


class Block(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.carry = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.carry(x))


def resnet(classes: int) -> nn.Sequential:
    """Two stages of residual blocks for images of 16 x 16 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.MaxPool2d(2),
        Block(8, 8, stride=1),
        Block(8, 16, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def textures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy stripes, (count, 1, 16, 16), and whether they lie, stand or slope."""
    label = torch.randint(0, 3, (count,))
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    angle = torch.stack([row, column, (row + column) / 2])[label]
    image = torch.sin(angle + 6 * torch.rand(count, 1, 1)) + 0.3 * torch.randn(count, 16, 16)
    return image[:, None], label


def train(network: nn.Module, image: torch.Tensor, label: torch.Tensor) -> list[float]:
    """The losses of 20 steps."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(image), label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    torch.manual_seed(0)
    image, label = textures(48)
    network = resnet(3)
    expected = train(copy.deepcopy(network), image, label)
    with anychip.using("strict"):
        found = train(network, image, label)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-3, atol=1e-4)
    assert found[-1] < 0.2
    print(f"loss {found[0]:.4f} -> {found[-1]:.4f}; PyTorch's own kernels: {expected[-1]:.4f}")


if __name__ == "__main__":
    main()

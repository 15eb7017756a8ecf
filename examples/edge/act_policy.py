"""A transformer policy for a robot arm, of the ACT kind: images' features and joint angles in, a chunk of
actions out, at the shapes of a 50 Hz control loop.

    anychip export examples/edge/act_policy.py:policy --chip cortex-a76 -o build/policy --check

After Zhao et al., Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware (2023), at inference:
the style variable is zero, an encoder attends over the tokens, a decoder turns 100 learned queries into 100
actions of 14 joints. Weights are random: the example is about shapes. The features are those of an image
encoder (20 tokens of 256 numbers), which runs before.
"""

import functools

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, HIDDEN = 256, 8, 1024
ENCODER_LAYERS, DECODER_LAYERS = 4, 1
FEATURES, JOINTS, ACTIONS = 20, 14, 100


class Attention(nn.Module):
    """Attention of `x` over `memory`."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            layer(t).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, t in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Self-attention, attention over a memory where there is one, and a two-layer network."""

    def __init__(self, decodes: bool) -> None:
        super().__init__()
        self.itself = Attention()
        self.across = Attention() if decodes else None
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3 if decodes else 2))
        self.wide, self.narrow = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor, memory: torch.Tensor | None = None) -> torch.Tensor:
        x = self.norms[0](x + self.itself(x, x))
        if self.across is not None and memory is not None:
            x = self.norms[1](x + self.across(x, memory))
        return self.norms[-1](x + self.narrow(torch.relu(self.wide(x))))


class Policy(nn.Module):
    """Actions (1, 100, 14) from features (1, 20, 256) and joint angles (1, 14)."""

    def __init__(self) -> None:
        super().__init__()
        self.joints = nn.Linear(JOINTS, WIDTH)
        self.style = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.places = nn.Parameter(torch.randn(1, FEATURES + 2, WIDTH) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, ACTIONS, WIDTH) * 0.02)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(ENCODER_LAYERS))
        self.decoder = nn.ModuleList(Layer(True) for _ in range(DECODER_LAYERS))
        self.head = nn.Linear(WIDTH, JOINTS)

    def forward(self, features: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([self.style, self.joints(angles).unsqueeze(1), features], 1) + self.places
        for layer in self.encoder:
            tokens = layer(tokens)
        x = self.queries
        for layer in self.decoder:
            x = layer(x, tokens)
        return self.head(x)


@functools.cache
def model() -> Policy:
    torch.manual_seed(0)
    return Policy().eval()


def policy(features: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """The next 100 actions, two seconds at 50 Hz."""
    return model()(features, angles)


def example_inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of an image and angles of the joints. Makes the model too: what a capture finds there already
    is a weight."""
    model()
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, FEATURES, WIDTH, generator=generator), torch.randn(1, JOINTS, generator=generator)


def main() -> None:
    import anychip

    inputs = example_inputs()
    program = anychip.capture(policy, *inputs)
    with torch.no_grad():
        exact = model().double()(*(x.double() for x in inputs))
    model().float()
    error = (program(*inputs).double() - exact).abs().max().item()
    print(program)
    print(f"largest difference from float64: {error:.1e}")
    assert error < 1e-4


if __name__ == "__main__":
    main()

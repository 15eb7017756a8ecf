"""A convolutional classifier of handwritten digits, trained here, for a microcontroller: f32 and int8.

    anychip export examples/edge/digits.py:quantized --chip cortex-m55 -o build/digits --check

Data: the 1797 images of 8 x 8 pixels that scikit-learn ships. The f32 network is PyTorch's, on the library's
operators; the int8 network runs on the two Triton kernels below: integers multiplied and added exactly, and
one rounding for each output.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import nn

import anychip

CHANNELS = (1, 16, 32)
CLASSES = 10


class Classifier(nn.Module):
    """Two convolutions of 3 x 3 with stride 2, and a linear layer: 8 x 8 -> 4 x 4 -> 2 x 2 -> 10."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS[0], CHANNELS[1], 3, stride=2, padding=1)
        self.second = nn.Conv2d(CHANNELS[1], CHANNELS[2], 3, stride=2, padding=1)
        self.last = nn.Linear(4 * CHANNELS[2], CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores (images, 10) of images (images, 1, 8, 8)."""
        x = torch.relu(self.first(images))
        x = torch.relu(self.second(x))
        return self.last(x.flatten(1))


@functools.cache
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Images in 0..1, shape (1797, 1, 8, 8), and their digits; every fourth is for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(digits.target)


@functools.cache
@torch.enable_grad()
def trained() -> Classifier:
    """The network after 40 passes over the training images."""
    torch.manual_seed(0)
    images, labels = data()
    training = torch.arange(len(images)) % 4 != 0
    images, labels = images[training], labels[training]
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        for chosen in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    return model.eval()


@triton.jit
def convolve_int8(
    x, weight, scale, bias, out, SIZE: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr, ACROSS: tl.constexpr
):
    """One output pixel a program: out[pixel, :] = int8(relu(sum of x * weight * scale + bias)). `x` is
    [SIZE, SIZE, IN], `weight` [3, 3, IN, OUT], `out` [ACROSS, ACROSS, OUT]; stride 2, padding 1."""
    column, row = tl.program_id(0), tl.program_id(1)
    channels = tl.arange(0, OUT)
    total = tl.zeros([OUT], tl.int32)
    for tap in range(9):
        y, across = 2 * row + tap // 3 - 1, 2 * column + tap % 3 - 1
        if (y >= 0) & (y < SIZE) & (across >= 0) & (across < SIZE):
            for c in range(IN):
                value = tl.load(x + (y * SIZE + across) * IN + c).to(tl.int32)
                total += value * tl.load(weight + (tap * IN + c) * OUT + channels).to(tl.int32)
    scaled = total.to(tl.float32) * tl.load(scale + channels) + tl.load(bias + channels)
    rounded = tl.minimum(tl.maximum(scaled, 0.0) + 0.5, 127.0).to(tl.int8)
    tl.store(out + (row * ACROSS + column) * OUT + channels, rounded)


@triton.jit
def scores_int8(x, weight, scale, bias, out, INNER: tl.constexpr, OUT: tl.constexpr, CLASSES: tl.constexpr):
    """out = x @ weight * scale + bias in f32. `weight` is [INNER, OUT]; OUT is CLASSES rounded up."""
    channels = tl.arange(0, OUT)
    total = tl.zeros([OUT], tl.int32)
    for k in range(INNER):
        total += tl.load(x + k).to(tl.int32) * tl.load(weight + k * OUT + channels).to(tl.int32)
    scores = total.to(tl.float32) * tl.load(scale + channels) + tl.load(bias + channels)
    tl.store(out + channels, scores, mask=channels < CLASSES)


class Quantized:
    """The trained network in int8: weights by output channel, activations by layer."""

    def __init__(self, model: Classifier, images: torch.Tensor) -> None:
        with torch.no_grad():
            first = torch.relu(model.first(images))
            second = torch.relu(model.second(first))
        steps = [1 / 127, float(first.max()) / 127, float(second.max()) / 127]
        self.layers = [
            self._layer(model.first.weight.permute(2, 3, 1, 0), model.first.bias, steps[0], steps[1]),
            self._layer(model.second.weight.permute(2, 3, 1, 0), model.second.bias, steps[1], steps[2]),
        ]
        rows = (
            model.last.weight.detach().reshape(CLASSES, CHANNELS[2], 4).transpose(1, 2).reshape(CLASSES, -1)
        )
        padded = torch.zeros(16, rows.shape[1])
        padded[:CLASSES] = rows
        bias = torch.zeros(16)
        bias[:CLASSES] = model.last.bias.detach()
        self.layers.append(self._layer(padded.t(), bias, steps[2], 1.0))

    @staticmethod
    def _layer(
        weight: torch.Tensor, bias: torch.Tensor, step_in: float, step_out: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """int8 weights with outputs last, and what turns their sums into output steps."""
        weight, bias = weight.detach().contiguous(), bias.detach()
        step = weight.abs().reshape(-1, weight.shape[-1]).amax(0).clamp(min=1e-8) / 127
        return (weight / step).round().to(torch.int8), step * step_in / step_out, bias / step_out

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Scores (10,) of an image (8, 8) of int8, where 127 is white."""
        x = image
        for (weight, scale, bias), size, channels in zip(self.layers[:2], (8, 4), CHANNELS):
            out = torch.empty(size // 2, size // 2, weight.shape[-1], dtype=torch.int8)
            convolve_int8[(size // 2, size // 2)](
                x, weight, scale, bias, out, size, channels, weight.shape[-1], size // 2
            )
            x = out
        scores = torch.empty(CLASSES)
        weight, scale, bias = self.layers[2]
        scores_int8[(1,)](x, weight, scale, bias, scores, weight.shape[0], weight.shape[1], CLASSES)
        return scores

    def reference(self, image: torch.Tensor) -> torch.Tensor:
        """The same by PyTorch's own operators in float64, on integers."""
        x = image.double().reshape(1, 1, 8, 8)
        for weight, scale, bias in self.layers[:2]:
            sums = nn.functional.conv2d(x, weight.double().permute(3, 2, 0, 1), stride=2, padding=1)
            scaled = sums.float() * scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)
            x = (scaled.clamp(min=0) + 0.5).clamp(max=127).floor().double()
        weight, scale, bias = self.layers[2]
        sums = x.permute(0, 2, 3, 1).reshape(1, -1) @ weight.double()
        return (sums.float() * scale + bias)[0, :CLASSES]


def as_int8(images: torch.Tensor) -> torch.Tensor:
    """Images in 0..1 as int8."""
    return (images * 127).round().to(torch.int8)


@functools.cache
def quantizer() -> Quantized:
    return Quantized(trained(), data()[0][1::4])


def floating() -> anychip.Program:
    """The f32 network on one image, as a Program."""
    return anychip.capture(trained(), data()[0][:1])


def quantized() -> anychip.Program:
    """The int8 network on one image, as a Program."""
    return anychip.capture(quantizer(), as_int8(data()[0][0, 0]))


def main() -> None:
    images, labels = data()
    testing = torch.arange(len(images)) % 4 == 0
    images, labels = images[testing], labels[testing]
    with torch.no_grad():
        right = (trained()(images).argmax(1) == labels).float().mean().item()
    program = quantized()
    scores = torch.stack([program(as_int8(image[0])) for image in images])
    exact = torch.stack([quantizer().reference(as_int8(image[0])) for image in images])
    right_int8 = (scores.argmax(1) == labels).float().mean().item()
    print(f"right of {len(images)} test images: f32 {right:.1%}, int8 {right_int8:.1%}")
    print(f"int8 scores from PyTorch's: {(scores - exact).abs().max().item():.1e}")
    assert right > 0.95
    assert right_int8 > right - 0.02


if __name__ == "__main__":
    main()

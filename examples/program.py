"""Record a small network once and replay it: same numbers, one native call.

python examples/program.py
"""

import torch
from torch import nn

import anychip


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 10)).eval()
    program = anychip.capture(model, torch.randn(32, 64))
    print(program)
    out = torch.empty(32, 10)
    for _ in range(5):
        x = torch.randn(32, 64)
        program(x, out=out)
        with torch.no_grad():
            error = (out.double() - model.double()(x.double())).abs().max().item()
        model.float()
        assert error < 1e-5
    print(f"largest difference from float64: {error:.1e}")


if __name__ == "__main__":
    main()

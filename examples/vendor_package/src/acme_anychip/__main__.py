"""Runs a Triton kernel through the active back end and says which one that was."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def scale_add(x, y, out, factor, count, BLOCK: tl.constexpr):
    """out = factor * x + y"""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < count
    left = tl.load(x + offsets, mask=inside)
    right = tl.load(y + offsets, mask=inside)
    tl.store(out + offsets, factor * left + right, mask=inside)


def main() -> None:
    x, y = torch.rand(1000), torch.rand(1000)
    out = torch.empty_like(x)
    compiled = scale_add[(triton.cdiv(1000, 256),)](x, y, out, 3.0, 1000, BLOCK=256)
    error = (out - (3.0 * x + y)).abs().max().item()
    driver = type(triton.runtime.driver.active).__name__
    target = compiled.metadata.target.backend
    print(f"driver {driver}, target {target}, largest error {error:.1g}")


if __name__ == "__main__":
    main()

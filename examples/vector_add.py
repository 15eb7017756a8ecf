"""Add two vectors with a Triton kernel, on whatever chip is active.

python examples/vector_add.py
"""

import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside)
    y = tl.load(y_ptr + offsets, mask=inside)
    tl.store(out_ptr + offsets, x + y, mask=inside)


def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The sum of two contiguous tensors of equal shape."""
    out = torch.empty_like(x)
    block = 1024
    add_kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block)
    return out


def main() -> None:
    x, y = torch.rand(98_432), torch.rand(98_432)
    result = add(x, y)
    assert torch.equal(result, x + y)
    print("The kernel's sums are PyTorch's, to the last bit:", result[:4].tolist())


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# Triton's interpreter converts to bf16 and fp8 otherwise than its compilers: it is no reference for these types.
# Versions: triton 3.9.0, torch 2.13.0, numpy 2.4.6.
# With TRITON_INTERPRET=1 a conversion of float32 to bfloat16 cuts the low bits off instead of rounding to nearest
# even, and one to float8 loses the carry from the mantissa into the exponent: 1.99 becomes 1. Compare kernels of
# these types with PyTorch.
# Seen (interpreter; PyTorch, and Triton's compilers, round to nearest):
#   bfloat16 of 1.0068359375, 1.9990234375: 1.0 1.9921875 (nearest: 1.0078125 2.0)
#   float8_e4m3fn, float8_e5m2 of 1.99: 1.0 (nearest: 2.0)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check triton==3.9.0 torch==2.13.0 numpy==2.4.6
cat > "$work/casts.py" <<'END'
import torch
import triton
import triton.language as tl


@triton.jit
def cast(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + i, tl.load(x + i).to(out.dtype.element_ty))


for dtype, values, seen in (
    (torch.bfloat16, [1.0068359375, 1.9990234375], [1.0, 1.9921875]),
    (torch.float8_e4m3fn, [1.99, 1.25], [1.0, 1.25]),
    (torch.float8_e5m2, [1.99, 1.25], [1.0, 1.25]),
):
    x, out = torch.tensor(values), torch.zeros(2, dtype=dtype)
    cast[(1,)](x, out, 2)
    print(dtype, out.float().tolist(), "nearest", x.to(dtype).float().tolist())
    assert out.float().tolist() == seen
    assert x.to(dtype).float().tolist() != seen
END
TRITON_INTERPRET=1 "$work/venv/bin/python" "$work/casts.py"

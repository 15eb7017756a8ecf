"""Pointwise operators of complex numbers from scalar functions of their parts. `ComplexPointwise` turns a
`@triton.jit` function of (real, imaginary) pairs into a function of tensors and numbers with PyTorch's type
promotion and broadcasting; one kernel over interleaved parts serves them all. A function that gives a pair
has a complex result, one that gives a single value a real or boolean one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl

from .errors import ArgumentError, NotServed
from .iteration import broadcast_shape
from .kernels.numbers import double
from .launching import Plan, Plans, Tiles, cdiv, scalar_bits
from .memory.copy import copy_
from .pointwise_kernels import store_as
from .promotion import Promotion, elementwise_dtypes

PARTS = {torch.complex64: torch.float32, torch.complex128: torch.float64}
"""The type of real and imaginary part of a complex type."""
MAX_OPERANDS = 4
NUMBER, REAL, COMPLEX = 0, 1, 2
"""What an operand is: a number, a tensor of real parts alone, a tensor of pairs."""
TILES = Tiles(simt={"block": 512}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def pair(pointer, index, mask, real_bits, imaginary_bits, KIND: tl.constexpr, COMPUTE: tl.constexpr):
    """Real and imaginary parts of an operand: loaded, or a number given as the bits of two doubles."""
    if KIND == 2:
        real = tl.load(pointer + 2 * index, mask=mask, other=0)
        imaginary = tl.load(pointer + 2 * index + 1, mask=mask, other=0)
    elif KIND == 1:
        real = tl.load(pointer + index, mask=mask, other=0)
        imaginary = tl.zeros_like(real)
    else:
        real = double(real_bits).to(COMPUTE)
        imaginary = double(imaginary_bits).to(COMPUTE)
    return real, imaginary


@triton.jit(do_not_specialize=["r0", "i0", "r1", "i1", "r2", "i2", "r3", "i3"])
def complex_kernel(
    out,
    p0,
    p1,
    p2,
    p3,
    n,
    r0: tl.int64,
    i0: tl.int64,
    r1: tl.int64,
    i1: tl.int64,
    r2: tl.int64,
    i2: tl.int64,
    r3: tl.int64,
    i3: tl.int64,
    FUNCTION: tl.constexpr,
    ARITY: tl.constexpr,
    K0: tl.constexpr,
    K1: tl.constexpr,
    K2: tl.constexpr,
    K3: tl.constexpr,
    COMPUTE: tl.constexpr,
    PAIR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = FUNCTION(real and imaginary part of p0[i], ...) for 0 <= i < n; contiguous operands."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    index = start + tl.arange(0, BLOCK)
    mask = index < n
    a, b = pair(p0, index, mask, r0, i0, K0, COMPUTE)
    c, d = pair(p1, index, mask, r1, i1, K1, COMPUTE)
    e, f = pair(p2, index, mask, r2, i2, K2, COMPUTE)
    g, h = pair(p3, index, mask, r3, i3, K3, COMPUTE)
    if ARITY == 1:
        value = FUNCTION(a, b)
    elif ARITY == 2:
        value = FUNCTION(a, b, c, d)
    elif ARITY == 3:
        value = FUNCTION(a, b, c, d, e, f)
    else:
        value = FUNCTION(a, b, c, d, e, f, g, h)
    if PAIR:
        part = 2 * start + tl.arange(0, 2 * BLOCK)
        real = tl.broadcast_to(value[0], (BLOCK,)).to(COMPUTE)
        imaginary = tl.broadcast_to(value[1], (BLOCK,)).to(COMPUTE)
        tl.store(out + part, tl.interleave(real, imaginary), mask=part < 2 * n)
    else:
        store_as(out + index, value, mask)


# ---- forward --------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class ComplexPointwise:
    """A scalar function of the parts of its operands, as a function of tensors and numbers.

    `result` says what the function gives: COMPLEX (a pair), REAL (one value of the parts' type), or
    a dtype (bool).
    """

    function: Any
    result: int | torch.dtype = COMPLEX
    promotion: Promotion = Promotion.DEFAULT
    _plans: Plans[Plan] = field(default_factory=Plans)

    @property
    def name(self) -> str:
        """The scalar function's name."""
        return self.function.__name__

    def __call__(self, *operands: Any, out: torch.Tensor | None = None) -> torch.Tensor:
        """Apply to `operands` (broadcast together, at least one of them complex)."""
        dtype = elementwise_dtypes(*operands, type_promotion_kind=self.promotion)[0]
        if dtype not in PARTS:
            raise NotServed(self.name, f"dtype {dtype} is not served")
        tensors = [x for x in operands if isinstance(x, torch.Tensor)]
        shape = broadcast_shape(*(x.shape for x in tensors))
        device = next((x.device for x in tensors if x.ndim), tensors[0].device)
        result = self._result(dtype)
        if out is not None and out.shape != shape and any(x is out for x in operands):
            raise ArgumentError(
                f"output with shape {list(out.shape)} doesn't match the broadcast shape {list(shape)}"
            )
        if out is not None and not torch.can_cast(result, out.dtype):
            raise ArgumentError(
                f"result type {result} can't be cast to the desired output type {out.dtype} ({self.name})"
            )
        given = [_operand(x, shape, PARTS[dtype], device) for x in operands]
        made = torch.empty(shape, dtype=result, device=device)
        if not made.numel():
            return _delivered(made, out)
        kinds = tuple(kind for kind, _, _ in given)
        plan = self._plans.get((kinds, shape, dtype, device))
        if plan is None:
            plan = self._plan(kinds, made, dtype)
            self._plans.remember((kinds, shape, dtype, device), plan)
        spare = MAX_OPERANDS - len(given)
        pointers = [tensor for _, tensor, _ in given] + [None] * spare
        numbers = [bits for _, _, pair in given for bits in pair] + [0, 0] * spare
        target = torch.view_as_real(made) if result.is_complex else made
        plan.launch(target, *pointers, numbers=tuple(numbers))
        return _delivered(made, out)

    def _result(self, dtype: torch.dtype) -> torch.dtype:
        if isinstance(self.result, torch.dtype):
            return self.result
        return dtype if self.result == COMPLEX else PARTS[dtype]

    def _plan(self, kinds: tuple[int, ...], made: torch.Tensor, dtype: torch.dtype) -> Plan:
        block = TILES.on(made)["block"]
        padded = (*kinds, *((NUMBER,) * (MAX_OPERANDS - len(kinds))))
        constants = {
            "FUNCTION": self.function,
            "ARITY": len(kinds),
            **{f"K{k}": kind for k, kind in enumerate(padded)},
            "COMPUTE": tl.float32 if PARTS[dtype] == torch.float32 else tl.float64,
            "PAIR": made.is_complex(),
            "BLOCK": block,
        }
        count = made.numel()
        return Plan(complex_kernel, cdiv(count, block), (count,), constants, label=self.name)


def _operand(
    x: Any, shape: tuple[int, ...], parts: torch.dtype, device: torch.device
) -> tuple[int, torch.Tensor | None, tuple[int, int]]:
    """(kind, contiguous tensor of parts, a number's parts as bits) of an operand."""
    if not isinstance(x, torch.Tensor):
        number = complex(x)
        return NUMBER, None, (scalar_bits(number.real, True), scalar_bits(number.imag, True))
    wanted = x.dtype if x.is_complex() else parts
    if x.is_complex():
        wanted = next(made for made, part in PARTS.items() if part == parts)
    if x.dtype != wanted or x.shape != shape or not x.is_contiguous() or x.device != device or x.is_conj():
        x = copy_(torch.empty(shape, dtype=wanted, device=device), x.to(device))
    return (COMPLEX, torch.view_as_real(x), (0, 0)) if x.is_complex() else (REAL, x, (0, 0))


def _delivered(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """The result, or `out` once it holds it."""
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)

"""Pointwise operators from one-line scalar functions. `pointwise` turns a `@triton.jit` function of
scalars into an operator with PyTorch's type promotion, broadcasting, any strides and rank, numbers
and 0-d tensors; two kernels serve them all: `flat_kernel` (contiguous) and `tiled_kernel` (the rest)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton.language as tl

from .errors import ArgumentError, NotServed, UnsupportedDtype
from .iteration import broadcast_shape, broadcast_strides, coalesce, power_of_two, second_innermost
from .launching import EIGHT_BIT_FLOATS, TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, scalar_bits
from .modules import import_in_a_call
from .pointwise_kernels import flat_kernel, tiled_kernel
from .promotion import Promotion, elementwise_dtypes
from .registry import FLOATING, Benchmark, Operator, Overload, Samples, leave_out, register
from .samples import pointwise_benchmark, pointwise_samples
from .schemas import binder, exists

Number = bool | int | float
MAX_OPERANDS = 5
TILES = Tiles(
    simt={"flat": 1024, "tile": 1024, "square": 32}, simd={"flat": 2048, "tile": 1024, "square": 64}
)
"""Elements of a contiguous and of a strided block; side of the square block of a transposing one."""


def writable(x: torch.Tensor) -> torch.Tensor:
    """`x` itself; ArgumentError if several of its elements are one place in memory."""
    shared = any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True))
    if shared and x.numel():
        raise ArgumentError(
            "unsupported operation: more than one element of the written-to tensor refers to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )
    return x


def _extent(x: torch.Tensor) -> tuple[int, int]:
    """First and last byte's address of a tensor with elements."""
    steps = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + (steps + 1) * x.element_size()


def apart(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """`x`, or a copy of it where writing `out` would change elements of it that are still to be read."""
    if x is out or x.untyped_storage().data_ptr() != out.untyped_storage().data_ptr():
        return x
    if not x.numel() or not out.numel():
        return x
    if (x.data_ptr(), x.dtype, x.shape, x.stride()) == (out.data_ptr(), out.dtype, out.shape, out.stride()):
        return x
    (first, last), (start, stop) = _extent(x), _extent(out)
    return x if last <= start or stop <= first else x.clone()


@functools.cache
def _import_complex() -> None:
    """Let pointwise operators know what serves complex operands."""
    folder = f"{__package__ or 'anychip.ops'}.elementwise"
    import_in_a_call(f"{folder}.{module}" for module in ("complex_arithmetic", "complex_functions"))


def _is_complex(x: Any) -> bool:
    return x.is_complex() if isinstance(x, torch.Tensor) else isinstance(x, complex)


@dataclass(eq=False, slots=True)
class Pointwise:
    """A scalar function as a function of tensors and numbers, in the order of its parameters."""

    function: Any
    promotion: Promotion = Promotion.DEFAULT
    raw: int = 0
    """Bit k set: operand k is neither promoted nor converted (a condition, an already typed value)."""
    result: torch.dtype | None = None
    converts: bool = False
    """The result may go into an `out` of any dtype (a copy), not only where PyTorch's rules cast."""
    eight_bits: bool = False
    """Operands and results may be 8-bit floats; the function converts them."""
    accepts: tuple[torch.dtype, ...] | None = None
    """The promoted types that PyTorch computes in; any other is UnsupportedDtype (None: any)."""
    refuses: tuple[torch.dtype, ...] = ()
    """Types of operands that are UnsupportedDtype whatever the promoted type."""
    factor: int | None = None
    """The operand that has no part in promotion: a number by which another is multiplied."""
    tiles: Tiles = TILES
    of_complex: Callable[..., torch.Tensor] | None = None
    """What serves complex operands, in terms of real ones."""
    _plans: Plans[Plan] = field(default_factory=Plans)

    @property
    def name(self) -> str:
        """The scalar function's name."""
        return self.function.__name__

    @property
    def dtypes(self) -> Mapping[torch.dtype, tl.dtype]:
        """Triton's type of each dtype that operands and results may have."""
        return TRITON_DTYPES | EIGHT_BIT_FLOATS if self.eight_bits else TRITON_DTYPES

    def __call__(self, *operands: torch.Tensor | Number, out: torch.Tensor | None = None) -> torch.Tensor:
        """Apply to `operands` (broadcast together). With `out`, write there (resized if needed)."""
        if out is not None:
            operands = tuple(apart(x, out) if isinstance(x, torch.Tensor) else x for x in operands)
        key = (
            tuple(
                (x.dtype, x.shape, x.stride(), x.device) if isinstance(x, torch.Tensor) else type(x)
                for x in operands
            ),
            None if out is None else (out.dtype, out.shape, out.stride()),
            torch.get_default_dtype(),
        )
        plan = self._plans.get(key)
        if plan is None:
            if any(_is_complex(x) for x in operands):
                _import_complex()
                if self.of_complex is not None:
                    return self.of_complex(*operands, out=out)
            wanted = None if out is None else out.shape
            plan, out = self._plan(operands, out)
            if wanted is None or wanted == out.shape:
                self._plans.remember(key, plan)
        shape, dtype, device, floating = plan.result
        if out is None:
            out = self._allocate(operands, shape, dtype, device)
        pointers: list[Any] = [None] * MAX_OPERANDS
        numbers = [0] * MAX_OPERANDS
        for k, x in enumerate(operands):
            if isinstance(x, torch.Tensor):
                pointers[k] = x if x.device == device else x.to(device)
            else:
                numbers[k] = scalar_bits(x, floating)
        plan.launch(out, *pointers, numbers=tuple(numbers))
        return out

    def _types(self, operands: Sequence[Any], out: torch.Tensor | None) -> tuple[torch.dtype, torch.dtype]:
        """The computing type and the result's type, by PyTorch's rules."""
        promoted = [x for k, x in enumerate(operands) if not self.raw >> k & 1 and k != self.factor]
        served = self.dtypes
        for x in (*operands, out):
            dtype = x.dtype if isinstance(x, torch.Tensor) else None
            if isinstance(x, complex) or (dtype is not None and dtype not in served):
                raise NotServed(self.name, f"dtype {dtype or 'complex'} is not served")
        if promoted:
            compute, result = elementwise_dtypes(*promoted, type_promotion_kind=self.promotion)
        else:
            typed = next((x.dtype for x in operands if isinstance(x, torch.Tensor)), None)
            result = typed or (out.dtype if out is not None else torch.get_default_dtype())
            compute = result
        if self.accepts is not None and result not in self.accepts:
            raise UnsupportedDtype(self.name, result)
        for x in promoted if self.refuses else ():
            dtype = x.dtype if isinstance(x, torch.Tensor) else torch.bool if isinstance(x, bool) else None
            if dtype in self.refuses:
                raise UnsupportedDtype(self.name, dtype)
        if self.factor is not None and self.factor < len(operands):
            _check_factor(self.name, operands[self.factor], result)
        result = self.result or result
        if result not in served or compute not in served:
            raise NotServed(self.name, f"dtype {result} is not served")
        return compute_dtype(compute), result

    @staticmethod
    def _allocate(
        operands: Sequence[Any], shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        for x in operands:
            if isinstance(x, torch.Tensor) and x.shape == shape:
                return torch.empty_like(x, dtype=dtype, device=device)
        return torch.empty(shape, dtype=dtype, device=device)

    def _plan(self, operands: Sequence[Any], out: torch.Tensor | None) -> tuple[Plan, torch.Tensor]:
        """The plan for these operands, and the output that it was made for."""
        tensors = [x for x in (*operands, out) if isinstance(x, torch.Tensor)]
        devices = [x.device for x in tensors if x.ndim] or [x.device for x in tensors]
        device = devices[0] if devices else torch.device("cpu")
        compute, result = self._types(operands, out)
        shapes = [x.shape for x in operands if isinstance(x, torch.Tensor)]
        shape = tuple(broadcast_shape(*shapes) if shapes or out is None else out.shape)
        if out is None:
            out = self._allocate(operands, shape, result, device)
        else:
            if not self.converts and not torch.can_cast(result, out.dtype):
                raise ArgumentError(
                    f"result type {result} can't be cast to the desired output type {out.dtype} ({self.name})"
                )
            if tuple(out.shape) != shape:
                if any(x is out for x in operands):
                    raise ArgumentError(
                        f"output with shape {list(out.shape)} doesn't match the broadcast shape {list(shape)}"
                    )
                out.resize_(shape)
            if not self.converts:
                writable(out)
        kernel, programs, sizes, blocks = self._tile(shape, operands, out, device)
        constants: dict[str, Any] = {
            "FUNCTION": self.function,
            "ARITY": len(operands),
            "RAW": self.raw,
            "COMPUTE": self.dtypes[compute],
            "FLOAT": compute.is_floating_point,
            **blocks,
        }
        plan = Plan(
            kernel,
            programs,
            sizes,
            constants,
            label=self.name,
            result=(shape, result, device, compute.is_floating_point),
        )
        return plan, out

    def _tile(
        self, shape: tuple[int, ...], operands: Sequence[Any], out: torch.Tensor, device: torch.device
    ) -> tuple[Any, int, tuple[Any, ...], dict[str, int]]:
        """The kernel for these strides, its number of programs, its size arguments and its blocks."""
        count = math.prod(shape)
        budget = self.tiles.on(out)
        strides = [out.stride()] + [
            broadcast_strides(x.shape, x.stride(), shape)
            if isinstance(x, torch.Tensor)
            else (0,) * len(shape)
            for x in operands
        ]
        of_tensors = [0] + [k + 1 for k, x in enumerate(operands) if isinstance(x, torch.Tensor)]
        space = coalesce(shape, [strides[k] for k in of_tensors]) if count else None
        if space is None or (
            len(space.sizes) == 1
            and (count == 1 or (space.strides[0] == (1,) and all(s in ((0,), (1,)) for s in space.strides)))
        ):
            block = budget["flat"]
            uniform = 0
            if space is not None and count > 1:
                uniform = _bits(k - 1 for k, s in zip(of_tensors, space.strides, strict=True) if s == (0,))
                uniform |= (uniform.bit_count() == len(of_tensors) - 1) << MAX_OPERANDS
            return flat_kernel, cdiv(count, block), (count,), {"UNIFORM": uniform, "BLOCK": block}
        space = second_innermost(space)
        sizes = (1,) * (2 - len(space.sizes)) + space.sizes
        by_operand = [(0,) * len(sizes)] * (MAX_OPERANDS + 1)
        for k, s in zip(of_tensors, space.strides, strict=True):
            by_operand[k] = (0,) * (2 - len(s)) + s
        rows, columns = sizes[-2], sizes[-1]
        transposed = any(s[-2] == 1 and s[-1] not in (0, 1) for s in by_operand)
        if transposed:
            block_m = min(power_of_two(rows), budget["square"])
            block_n = min(power_of_two(columns), budget["square"])
        else:
            block_n = min(power_of_two(columns), budget["tile"])
            block_m = min(power_of_two(rows), budget["tile"] // block_n)
        outer = len(sizes) - 2
        table = None
        if outer:
            listed = [[sizes[d], *(s[d] for s in by_operand)] for d in range(outer)]
            table = torch.tensor(listed, dtype=torch.int64).to(device)
        programs = math.prod(sizes[:-2]) * cdiv(rows, block_m) * cdiv(columns, block_n)
        along_m, along_n = (tuple(s[axis] for s in by_operand) for axis in (-2, -1))
        uniform = _bits(k - 1 for k in of_tensors if k and columns > 1 and by_operand[k][-1] == 0)
        blocks = {"UNIFORM": uniform, "OUTER": outer, "BLOCK_M": block_m, "BLOCK_N": block_n}
        return tiled_kernel, programs, (table, rows, columns, along_m, along_n), blocks


def _check_factor(name: str, factor: Any, result: torch.dtype) -> None:
    """Raises ArgumentError for a number that a result of this type cannot be multiplied by."""
    if isinstance(factor, float) and not result.is_floating_point:
        raise ArgumentError(
            f"{name}: For integral input tensors, argument alpha must not be a floating point number; "
            f"got {factor!r} for {result}"
        )
    if isinstance(factor, bool) and result != torch.bool:
        raise ArgumentError(f"{name}: Boolean alpha only supported for Boolean results, not for {result}")


def _bits(numbers: Iterable[int]) -> int:
    """The number whose set bits are listed."""
    return sum(1 << k for k in numbers)


# ---- record ---------------------------------------------------------------------------------------


def pointwise(
    *overloads: str,
    promotion: Promotion = Promotion.DEFAULT,
    dtypes: tuple[torch.dtype, ...] = FLOATING,
    differentiable: bool = True,
    raw: int = 0,
    result: torch.dtype | None = None,
    low: float | None = None,
    high: float | None = None,
    samples: Samples | None = None,
    name: str | None = None,
    tolerance: float = 1.0,
    accepts: tuple[torch.dtype, ...] | None = None,
    refuses: tuple[torch.dtype, ...] = (),
    factor: int | None = None,
    reference: Callable[..., Any] | None = None,
) -> Callable[[Any], Pointwise]:
    """Decorate a scalar `@triton.jit` function to make and register an operator.

    Each of `overloads` is an ATen overload, by default with the schema's arguments in the function's
    order, else as `"rsub.Tensor(other, self, alpha)"`. Test samples are drawn from [low, high].
    `accepts` lists the promoted types that PyTorch computes in (None: any), `refuses` the types of operands
    that it does not take; `factor` is the operand that has no part in promotion; `reference` is what tests
    compare with (None: PyTorch in float64).
    """

    def decorate(function: Any) -> Pointwise:
        machine = Pointwise(function, promotion, raw, result, accepts=accepts, refuses=refuses, factor=factor)
        served = []
        benchmarks: tuple[Benchmark, ...] = ()
        for text in overloads:
            if not exists(text.partition("(")[0]):
                leave_out(text.partition("(")[0], name or function.__name__)
                continue
            overload_name, implementation, parameters = binder(text, machine)
            draw = samples or pointwise_samples(overload_name, parameters, low, high)
            served.append(Overload(overload_name, implementation, draw, reference=reference))
            if samples is None and not benchmarks:
                benchmarks = (pointwise_benchmark(overload_name, parameters, low, high),)
        register(
            Operator(
                name=name or function.__name__,
                overloads=tuple(served),
                kernels=(flat_kernel, tiled_kernel),
                dtypes=dtypes,
                differentiable=differentiable,
                tiles=TILES,
                benchmarks=benchmarks,
                tolerance=tolerance,
                labels=(machine.name,),
            )
        )
        return machine

    return decorate

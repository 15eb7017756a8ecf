"""isin and equal: whether elements are among others, and whether two tensors are the same. Each element
is compared with all test elements, a block of which every program goes through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..complex_pointwise import PARTS
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch
from ..memory.copy import COPY
from ..pointwise import TILES as POINTWISE_TILES
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduce.truth import any_all
from ..registry import ALL, FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, special, tensor
from .comparison import ne

NUMERIC = (*FLOATING, *INTEGRAL)
TILES = Tiles(simt={"elements": 256, "tests": 32}, simd={"elements": 1024, "tests": 16})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def isin_kernel(
    out,
    elements,
    tests,
    count,
    tests_count,
    INVERT: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
    TESTS: tl.constexpr,
):
    """out[i] = whether elements[i] equals one of tests (or none of them, for INVERT)."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    mask = lane < count - first
    value = tl.load(elements + first + lane, mask=mask, other=0).to(COMPUTE)
    found = tl.zeros((BLOCK,), tl.int1)
    whole = tests_count // TESTS * TESTS
    for block in range(0, whole, TESTS):
        for k in tl.static_range(TESTS):
            found = found | (value == tl.load(tests + block + k).to(COMPUTE))
    for k in range(whole, tests_count):
        found = found | (value == tl.load(tests + k).to(COMPUTE))
    if INVERT:
        found = ~found
    tl.store(out + first + lane, found, mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def _as_tensor(x: Any, device: torch.device) -> torch.Tensor:
    return x if isinstance(x, torch.Tensor) else torch.tensor(x, device=device)


def isin(
    elements: Any,
    test_elements: Any,
    *,
    assume_unique: bool = False,
    invert: bool = False,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Which of `elements` (a tensor or a number) are among `test_elements`, as booleans."""
    device = next(x.device for x in (elements, test_elements) if isinstance(x, torch.Tensor))
    common = torch.result_type(elements, test_elements)
    if common == torch.bool:
        raise ArgumentError("Unsupported input type encountered for isin(): Bool")
    if common not in TRITON_DTYPES:
        raise NotServed("isin", f"dtype {common} is not served")
    source = _as_tensor(elements, device).contiguous()
    tests = _as_tensor(test_elements, device).contiguous()
    if out is not None and out.shape != source.shape:
        out.resize_(source.shape)
    dense = out is not None and out.is_contiguous() and out.dtype == torch.bool
    target = out if dense else torch.empty(source.shape, dtype=torch.bool, device=device)
    assert target is not None
    sizes = TILES.on(device)
    block = min(power_of_two(max(source.numel(), 1)), sizes["elements"])
    launch(
        isin_kernel,
        cdiv(source.numel(), block),
        target,
        source,
        tests,
        source.numel(),
        tests.numel(),
        INVERT=invert,
        COMPUTE=TRITON_DTYPES[compute_dtype(common)],
        BLOCK=block,
        TESTS=sizes["tests"],
    )
    return target if out is None or dense else COPY(target, out=out)


def equal(self: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both have one shape and the same elements (NaN is not the same as itself)."""
    if self.dtype != other.dtype:
        raise ArgumentError(f"equal: expected the dtypes to be the same, got {self.dtype} and {other.dtype}")
    if self.dtype not in TRITON_DTYPES and self.dtype not in PARTS:
        raise NotServed("equal", f"dtype {self.dtype} is not served")
    if self.shape != other.shape:
        return False
    if not self.numel():
        return True
    return not any_all(ne(self, other)).item()


# ---- record ---------------------------------------------------------------------------------------


def _memberships(dtype: torch.dtype) -> Iterable[Sample]:
    tests = tensor((37,), dtype, seed=1)
    for elements in (tensor((5, 7), dtype), tensor((), dtype), tensor((0, 3), dtype), tests.flip(0)):
        yield Sample((elements, tests))
    yield Sample((next(layouts(tensor((3, 4), dtype))), tests[::2]), {"invert": True})
    yield Sample((tests, tensor((0,), dtype)))
    if dtype.is_floating_point:
        yield Sample((special(dtype), special(dtype)[3:5]))


def _in_numbers(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype).round(), 2))


def _number_in(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((2, tensor((5, 7), dtype).round()))


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((3, 5), dtype)
    yield Sample((x, x.clone()))
    yield Sample((x, x.flip(1)))
    yield Sample((x, x.t().contiguous().t()))
    yield Sample((x, tensor((3, 4), dtype)))


register(
    Operator(
        name="isin",
        overloads=(
            Overload("isin.Tensor_Tensor", isin, _memberships),
            Overload("isin.Tensor_Scalar", isin, _in_numbers),
            Overload("isin.Scalar_Tensor", isin, _number_in),
        ),
        kernels=(isin_kernel,),
        dtypes=NUMERIC,
        differentiable=False,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "isin.Tensor_Tensor",
                lambda dtype: Sample((tensor((1024, 1024), dtype), tensor((64,), dtype))),
            ),
        ),
    )
)
register(
    Operator(
        name="equal",
        overloads=(Overload("equal", equal, _pairs, takes_out=False),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=ALL,
        differentiable=False,
        tiles=POINTWISE_TILES,
        benchmarks=(Benchmark("equal", lambda dtype: Sample((tensor((4096, 1024), dtype),) * 2)),),
    )
)

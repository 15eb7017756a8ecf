"""Thirty faults: in one call of one operator of a model, its result is computed wrongly, by kernels of the
library on wrong arguments, so that a chip's emulator replays the fault as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Wrong = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """`wrong(func, *arguments)` in place of call number `call` of an overload in a model."""

    kind: str
    model: str
    overload: str
    wrong: Wrong
    call: int = 0

    @property
    def name(self) -> str:
        """The name of its test."""
        return f"{self.kind} in {self.overload} of {self.model}".replace(" ", "-")


class Planted(TorchDispatchMode):
    """Plants a fault, while it is a mode of PyTorch's dispatcher."""

    def __init__(self, fault: Fault):
        super().__init__()
        self.fault, self.seen = fault, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if str(func) == f"aten.{self.fault.overload}":
            self.seen += 1
            if self.seen - 1 == self.fault.call:
                return self.fault.wrong(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


# ---- wrong rounding -------------------------------------------------------------------------------


def cut(func: Any, *args: Any, **keywords: Any) -> Any:
    """The lower half of a single-precision result's bits is lost."""
    return torch.bitwise_and(func(*args, **keywords).view(torch.int32), -65536).view(torch.float32)


def cut_half(func: Any, *args: Any, **keywords: Any) -> Any:
    """A bfloat16 result is cut instead of rounded."""
    exact = func(*(x.float() if isinstance(x, torch.Tensor) else x for x in args), **keywords)
    return torch.bitwise_and(exact.view(torch.int32), -65536).view(torch.float32).to(torch.bfloat16)


# ---- swapped strides ------------------------------------------------------------------------------


def swapped(x: torch.Tensor) -> torch.Tensor:
    """A matrix's memory, read with its strides swapped."""
    return x.contiguous().view(x.shape[1], x.shape[0]).t()


def second_swapped(func: Any, x: Any, y: Any, *rest: Any) -> Any:
    """The second operand is read in the other order."""
    return func(x, swapped(y), *rest)


def third_swapped(func: Any, bias: Any, x: Any, y: Any, **keywords: Any) -> Any:
    """Likewise the third."""
    return func(bias, x, swapped(y), **keywords)


def first_swapped(func: Any, x: Any, *rest: Any, **keywords: Any) -> Any:
    """Likewise the first."""
    return func(swapped(x), *rest, **keywords)


def channels_swapped(func: Any, x: Any, *rest: Any) -> Any:
    """An image's rows are taken for its columns."""
    return func(x.transpose(2, 3), *rest)


# ---- dropped masks --------------------------------------------------------------------------------


def rows_short(func: Any, x: Any, *rest: Any, **keywords: Any) -> Any:
    """The last rows are not written."""
    result = func(x, *rest, **keywords).clone()
    result[-1:].zero_()
    return result


def terms_short(func: Any, x: Any, y: Any) -> Any:
    """The last terms of a product are not added."""
    return func(x[:, :-1], y[:-1])


def unmasked(func: Any, x: Any, mask: Any, value: Any) -> Any:
    """A mask is not looked at."""
    return x.clone()


# ---- accumulators of 16 bits ----------------------------------------------------------------------


def half_sums(func: Any, x: Any, y: Any) -> Any:
    """A product whose terms are added in half precision."""
    total = torch.zeros(x.shape[0], y.shape[1], dtype=torch.float16)
    for k in range(x.shape[1]):
        total = total + (x[:, k : k + 1].float() * y[k : k + 1].float()).to(torch.float16)
    return total.to(x.dtype)


def half_bias_sums(func: Any, bias: Any, x: Any, y: Any) -> Any:
    """Likewise with a bias."""
    return half_sums(func, x, y) + bias


def half_row_sums(func: Any, x: Any, dims: Any, keepdim: bool = False, **keywords: Any) -> Any:
    """A sum along the last dimension in half precision."""
    total = torch.zeros(x.shape[:-1], dtype=torch.float16)
    for column in x.unbind(-1):
        total = total + column.to(torch.float16)
    result = total.float() / (x.shape[-1] if "mean" in str(func) else 1)
    return result.unsqueeze(-1) if keepdim else result


def half_scan(func: Any, x: Any, dim: int) -> Any:
    """Running sums in half precision."""
    total, found = torch.zeros(x.shape[0], dtype=torch.float16), []
    for column in x.unbind(1):
        total = total + column.to(torch.float16)
        found.append(total.float())
    return torch.stack(found, 1)


# ---- wrong axes -----------------------------------------------------------------------------------


def other_axis(func: Any, x: Any, dim: int, *rest: Any) -> Any:
    """The first dimension in place of the last one."""
    return func(x, 0, *rest)


def norm_elsewhere(func: Any, x: Any, shape: Any, *rest: Any) -> Any:
    """A norm along columns."""
    size = x.shape[-1]
    square = x[:size].t().contiguous() if x.shape[0] >= size else x.t().contiguous()[:size]
    result, *others = func(square, shape, *rest)
    return (result.t().contiguous(), *others)


# ---- stale caches ---------------------------------------------------------------------------------


class Stale:
    """An operand, by its place, as it was before it changed: its rows in another order."""

    def __init__(self, place: int):
        self.place = place

    def __call__(self, func: Any, *args: Any, **keywords: Any) -> Any:
        old = list(args)
        old[self.place] = torch.flip(args[self.place], (0,))
        return func(*old, **keywords)


FAULTS: tuple[Fault, ...] = (
    Fault("wrong rounding", "mlp", "gelu.default", cut),
    Fault("wrong rounding", "convolutional", "silu.default", cut),
    Fault("wrong rounding", "attention", "add.Tensor", cut),
    Fault("wrong rounding", "recurrent", "tanh.default", cut, call=2),
    Fault("wrong rounding", "halves", "mm.default", cut_half, call=1),
    Fault("wrong rounding", "halves", "add.Tensor", cut_half, call=1),
    Fault("swapped stride", "mlp", "addmm.default", third_swapped),
    Fault("swapped stride", "convolutional", "convolution.default", channels_swapped),
    Fault("swapped stride", "attention", "mm.default", second_swapped, call=3),
    Fault("swapped stride", "recurrent", "embedding.default", first_swapped),
    Fault("swapped stride", "training", "mm.default", first_swapped, call=1),
    Fault("dropped mask", "mlp", "mm.default", terms_short),
    Fault("dropped mask", "convolutional", "relu.default", rows_short),
    Fault("dropped mask", "attention", "masked_fill.Scalar", unmasked),
    Fault("dropped mask", "recurrent", "sigmoid.default", rows_short, call=3),
    Fault("dropped mask", "training", "_log_softmax.default", rows_short, call=1),
    Fault("f16 accumulator", "mlp", "addmm.default", half_bias_sums),
    Fault("f16 accumulator", "convolutional", "cumsum.default", half_scan),
    Fault("f16 accumulator", "attention", "mm.default", half_sums, call=4),
    Fault("f16 accumulator", "halves", "mean.dim", half_row_sums),
    Fault("f16 accumulator", "recurrent", "mm.default", half_sums, call=4),
    Fault("wrong axis", "mlp", "_softmax.default", other_axis),
    Fault("wrong axis", "mlp", "native_layer_norm.default", norm_elsewhere),
    Fault("wrong axis", "attention", "_softmax.default", other_axis),
    Fault("wrong axis", "convolutional", "cumsum.default", other_axis),
    Fault("wrong axis", "training", "_log_softmax.default", other_axis, call=2),
    Fault("stale cache", "mlp", "mm.default", Stale(1)),
    Fault("stale cache", "convolutional", "convolution.default", Stale(1), call=1),
    Fault("stale cache", "recurrent", "mm.default", Stale(0), call=5),
    Fault("stale cache", "training", "mm.default", Stale(1), call=4),
)

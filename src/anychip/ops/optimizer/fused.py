"""The fused steps behind `torch.optim` with `fused=True`: Adam, AdamW, SGD and Adagrad. A launch reads and
writes a parameter, its gradient and its state once. Kingma and Ba, arXiv:1412.6980; Loshchilov and
Hutter, arXiv:1711.05101; Duchi, Hazan and Singer, JMLR 12 (2011); Reddi et al., arXiv:1904.09237."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from ..errors import NotServed
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, scalar_bits
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor
from .fused_kernels import adagrad_kernel, adam_kernel, sgd_kernel

TILES = Tiles(simt={"block": 1024}, simd={"block": 4096})
Tensors = Sequence[torch.Tensor]

# ---- launches -------------------------------------------------------------------------------------

PLANS: Plans[Plan] = Plans()


def _is_dense(x: torch.Tensor) -> bool:
    """Whether the elements fill their memory without gaps, in some order of the dimensions."""
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _step(
    kernel: Any,
    states: Sequence[torch.Tensor | None],
    scalars: Sequence[torch.Tensor | None],
    numbers: tuple[int, ...],
    **flags: bool,
) -> None:
    """One launch over a parameter, the tensors of its shape, and tensors of one element."""
    first = states[0]
    assert first is not None
    if first.dtype not in FLOATING:
        raise NotServed(kernel.__name__, f"dtype {first.dtype} is not served")
    aligned = _is_dense(first) and all(x is None or x.stride() == first.stride() for x in states)
    used = [x if aligned or x is None else x.contiguous() for x in states]
    key = (
        kernel.__name__,
        first.numel(),
        tuple(flags.values()),
        tuple(None if x is None else x.dtype for x in (*used, *scalars)),
        first.device,
    )
    plan = PLANS.get(key)
    if plan is None:
        block = TILES.on(first)["block"]
        constants = {**flags, "COMPUTE": TRITON_DTYPES[compute_dtype(first.dtype)], "BLOCK": block}
        plan = PLANS.remember(key, Plan(kernel, cdiv(first.numel(), block), (first.numel(),), constants))
    plan.launch(*used, *scalars, numbers=numbers)
    for given, taken in zip(states, used, strict=True):
        if given is not None and taken is not None and given is not taken:
            given.copy_(taken)


def _lr(lr: float | torch.Tensor) -> tuple[torch.Tensor | None, int]:
    """A learning rate as a tensor for the kernel to read, or as a number's bits."""
    return (lr, 0) if isinstance(lr, torch.Tensor) else (None, scalar_bits(lr, True))


def _adam(
    self: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    max_exp_avg_sqs: Tensors,
    state_steps: Tensors,
    *,
    lr: float | torch.Tensor,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
    amsgrad: bool,
    maximize: bool,
    grad_scale: torch.Tensor | None = None,
    found_inf: torch.Tensor | None = None,
    decoupled: bool,
) -> None:
    rates, bits = _lr(lr)
    numbers = (bits, *(scalar_bits(x, True) for x in (beta1, beta2, weight_decay, eps)))
    for k, parameter in enumerate(self):
        states = (parameter, grads[k], exp_avgs[k], exp_avg_sqs[k], max_exp_avg_sqs[k] if amsgrad else None)
        scalars = (state_steps[k], rates, grad_scale, found_inf)
        _step(adam_kernel, states, scalars, numbers, DECOUPLED=decoupled, MAXIMIZE=maximize)


def fused_adam_(*lists: Tensors, **options: Any) -> None:
    """One step of Adam for every parameter: (parameters, gradients, means, mean squares, their maxima,
    step counts), and the options of the ATen schema."""
    _adam(*lists, **options, decoupled=False)


def fused_adamw_(*lists: Tensors, **options: Any) -> None:
    """The same with weight decay apart from the gradient."""
    _adam(*lists, **options, decoupled=True)


def fused_sgd_(
    self: Tensors,
    grads: Tensors,
    momentum_buffer_list: Tensors,
    *,
    weight_decay: float,
    momentum: float,
    lr: float | torch.Tensor,
    dampening: float,
    nesterov: bool,
    maximize: bool,
    is_first_step: bool,
    grad_scale: torch.Tensor | None = None,
    found_inf: torch.Tensor | None = None,
) -> None:
    """One step of gradient descent for every parameter."""
    rates, bits = _lr(lr)
    numbers = (bits, *(scalar_bits(x, True) for x in (momentum, weight_decay, dampening)))
    for k, parameter in enumerate(self):
        states = (parameter, grads[k], momentum_buffer_list[k] if momentum_buffer_list else None)
        _step(
            sgd_kernel,
            states,
            (rates, grad_scale, found_inf),
            numbers,
            NESTEROV=nesterov,
            FIRST=is_first_step,
            MAXIMIZE=maximize,
        )


def fused_adagrad_(
    self: Tensors,
    grads: Tensors,
    state_sums: Tensors,
    state_steps: Tensors,
    *,
    lr: float | torch.Tensor,
    lr_decay: float,
    weight_decay: float,
    eps: float,
    maximize: bool,
    grad_scale: torch.Tensor | None = None,
    found_inf: torch.Tensor | None = None,
) -> None:
    """One step of Adagrad for every parameter."""
    rates, bits = _lr(lr)
    numbers = (bits, *(scalar_bits(x, True) for x in (lr_decay, weight_decay, eps)))
    for k, parameter in enumerate(self):
        scalars = (state_steps[k], rates, grad_scale, found_inf)
        _step(adagrad_kernel, (parameter, grads[k], state_sums[k]), scalars, numbers, MAXIMIZE=maximize)


def functional(step: Callable[..., None], returned: int) -> Callable[..., tuple[list[torch.Tensor], ...]]:
    """The step on copies of its lists, the first `returned` of which are the result."""

    def stepped(*lists: Tensors, **options: Any) -> tuple[list[torch.Tensor], ...]:
        copies = [[x.clone() for x in listed] for listed in lists]
        step(*copies, **options)
        return tuple(copies[:returned])

    return stepped


# ---- record ---------------------------------------------------------------------------------------

SHAPES = ((5, 7), (13,), ())


def _list(dtype: torch.dtype, seed: int, low: float = -1.0) -> list[torch.Tensor]:
    return [tensor(shape, dtype, low, 1.0, seed=seed + k) for k, shape in enumerate(SHAPES)]


def _steps() -> list[torch.Tensor]:
    return [torch.tensor(float(k + 1)) for k in range(len(SHAPES))]


def _with_rate(options: dict[str, Any], as_tensor: bool) -> dict[str, Any]:
    return {**options, "lr": torch.tensor(0.125, dtype=torch.float64) if as_tensor else 0.125}


def _adam_samples(as_tensor: bool) -> Callable[[torch.dtype], Iterable[Sample]]:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        base = {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.1, "eps": 1e-3}
        for amsgrad, maximize in ((False, False), (True, True)):
            lists = [_list(dtype, 0), _list(dtype, 10), _list(dtype, 20), _list(dtype, 30, 0.1)]
            lists += [_list(dtype, 40, 0.1) if amsgrad else [], _steps()]
            options = _with_rate({**base, "amsgrad": amsgrad, "maximize": maximize}, as_tensor)
            yield Sample(tuple(lists), options)

    return draw


def _sgd_samples(as_tensor: bool) -> Callable[[torch.dtype], Iterable[Sample]]:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for momentum, nesterov, first in ((0.0, False, True), (0.9, False, True), (0.9, True, False)):
            lists = (_list(dtype, 0), _list(dtype, 10), _list(dtype, 20) if momentum else [])
            options = {
                "weight_decay": 0.1,
                "momentum": momentum,
                "dampening": 0.0,
                "nesterov": nesterov,
                "maximize": False,
                "is_first_step": first,
            }
            yield Sample(lists, _with_rate(options, as_tensor))

    return draw


def _adagrad_samples(as_tensor: bool) -> Callable[[torch.dtype], Iterable[Sample]]:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        lists = (_list(dtype, 0), _list(dtype, 10), _list(dtype, 20, 0.1), _steps())
        options = {"lr_decay": 0.01, "weight_decay": 0.1, "eps": 1e-3, "maximize": False}
        yield Sample(lists, _with_rate(options, as_tensor))

    return draw


for _name, _step_, _kernel, _returned, _draw in (
    ("_fused_adam", fused_adam_, adam_kernel, 5, _adam_samples),
    ("_fused_adamw", fused_adamw_, adam_kernel, 5, _adam_samples),
    ("_fused_sgd", fused_sgd_, sgd_kernel, 3, _sgd_samples),
    ("_fused_adagrad", fused_adagrad_, adagrad_kernel, 4, _adagrad_samples),
):
    _tensor_returned = 3 if _name == "_fused_adagrad" else _returned
    register(
        Operator(
            name=_name.lstrip("_"),
            overloads=(
                Overload(_name, functional(_step_, _returned), _draw(False), takes_out=False),
                Overload(
                    f"{_name}.tensor_lr", functional(_step_, _tensor_returned), _draw(True), takes_out=False
                ),
                Overload(f"{_name}_", _step_, takes_out=False),
                Overload(f"{_name}_.tensor_lr", _step_, takes_out=False),
            ),
            kernels=(_kernel,),
            dtypes=FLOATING,
            differentiable=False,
            tiles=TILES,
            tolerance=4.0,
        )
    )

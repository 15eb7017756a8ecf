"""Formulas over batches of tensors. Flows in: a function of scalars, and the shape of an element of each
input and output. Flows out: a function of tensors that is kernels of ours: the formula itself, its gradients
by the inputs, and its tangents, each generated from the same graph when it is first asked for."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.launching import Plan, Plans, Tiles, cdiv, has_vectors
from .derivatives import gradients, tangents
from .graph import Graph, Number, Scalar, needed
from .lowering import lowered
from .source import kernel_of

TILES = Tiles(simt={"elements": 128}, simd={"elements": 64})
LARGE = 500
"""A formula of more operations is computed for whole tiles of `FEW` elements only on CPUs: no second form of
the code for the last tile, and few elements too many for a small batch."""
FEW = 8
DTYPES: tuple[torch.dtype, ...] = (torch.float32, torch.float64)

Shape = tuple[int, ...]
Build = Callable[..., Sequence[Any]]


class GeneratedKernel:
    """A kernel that is generated when it is first launched. Places of outputs that are
    always 0 are not written. `made` gives the scalars of the outputs, and the names of the inputs'."""

    def __init__(self, name: str, made: Callable[[], tuple[list[list[Number]], dict[str, tuple[int, int]]]]):
        self.__name__ = name
        self._made = made
        self._lock = threading.Lock()
        self._written: tuple[list[list[Number]], dict[str, tuple[int, int]], int] | None = None
        self._kernels: dict[bool, Any] = {}
        self._plans: Plans[Plan] = Plans()

    def written(self) -> tuple[list[list[Number]], dict[str, tuple[int, int]], int]:
        """The scalars of the outputs in operations that Triton has, the names of the inputs', and how many
        operations these are."""
        if self._written is None:
            outputs, inputs = self._made()
            flat = lowered([x for each in outputs for x in each])
            self._written = _split(flat, [len(each) for each in outputs]), inputs, len(needed(flat))
        return self._written

    def kernel(self, whole: bool) -> Any:
        """The `triton.jit` function, for whole tiles only or for any number of elements."""
        with self._lock:
            if whole not in self._kernels:
                outputs, inputs, _ = self.written()
                self._kernels[whole] = kernel_of(self.__name__, inputs, outputs, whole)
            return self._kernels[whole]

    def _plan(self, like: torch.Tensor, tensors: Sequence[torch.Tensor], batch: int) -> Plan:
        with self._lock:
            outputs, _, size = self.written()
        single = batch == 1
        whole = single or (size > LARGE and has_vectors(like.device))
        block = 1 if single else FEW if whole else TILES.on(like)["elements"]
        constants = {"BLOCK": block}
        for k, x in enumerate(tensors):
            constants[f"S{k}"] = 0 if x.dim() == 1 else x.shape[-1]
        zeros = [any(not isinstance(x, Scalar) and x == 0.0 for x in each) for each in outputs]
        padded = cdiv(batch, block) * block if whole else batch
        return Plan(
            self.kernel(whole), cdiv(batch, block), (batch,), constants, result=(padded, tuple(zeros))
        )

    def launch(
        self, sizes: Sequence[int], tensors: Sequence[torch.Tensor], batch: int
    ) -> tuple[torch.Tensor, ...]:
        """New tensors (batch, size), for inputs that are contiguous (batch, size), or (size,) for all
        elements."""
        like = tensors[0]
        key = (like.dtype, batch, tuple(x.dim() for x in tensors), like.device)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans.remember(key, self._plan(like, tensors, batch))
        rows, zeros = plan.result
        if rows != batch:
            tensors = [x if x.dim() == 1 else _padded(x, rows) for x in tensors]
        outs = [
            (torch.zeros if zero else torch.empty)((rows, size), dtype=like.dtype, device=like.device)
            for size, zero in zip(sizes, zeros, strict=True)
        ]
        plan.launch(*outs, *tensors)
        return tuple(outs)


def _padded(x: torch.Tensor, rows: int) -> torch.Tensor:
    """More rows: the last one again, of which formulas are defined."""
    found = x.new_empty((rows, x.shape[1]))
    found[: len(x)] = x
    found[len(x) :] = x[-1]
    return found


class Formula:
    """A function of batches. `build` takes for each input the list of its scalars (a number of them for an
    empty shape) and returns the outputs likewise; `inputs` and `outputs` are the shapes of one element of
    each."""

    def __init__(self, name: str, build: Build, inputs: Sequence[Shape], outputs: Sequence[Shape]):
        self.name = name
        self.build = build
        self.inputs = [tuple(shape) for shape in inputs]
        self.outputs = [tuple(shape) for shape in outputs]
        self.input_sizes = [math.prod(shape) for shape in self.inputs]
        self.output_sizes = [math.prod(shape) for shape in self.outputs]
        self.forward = GeneratedKernel(f"{name}_kernel", self._forward)
        self.gradient = GeneratedKernel(f"{name}_gradient_kernel", self._gradients)
        self.tangent = GeneratedKernel(f"{name}_tangent_kernel", self._tangents)

    @property
    def kernels(self) -> tuple[GeneratedKernel, ...]:
        """All three."""
        return self.forward, self.gradient, self.tangent

    # --- what the kernels compute ----------------------------------------------------------------
    def _graph(self) -> tuple[Graph, list[list[Scalar]], list[list[Number]], dict[str, tuple[int, int]]]:
        graph = Graph()
        places: dict[str, tuple[int, int]] = {}
        given: list[list[Scalar]] = []
        for tensor, size in enumerate(self.input_sizes):
            given.append(_variables(graph, tensor, size, places))
        built = self.build(*(_shaped(x, shape) for x, shape in zip(given, self.inputs)))
        outputs = [_flat(x) for x in built]
        if [len(x) for x in outputs] != self.output_sizes:
            raise AssertionError(f"{self.name} gives {[len(x) for x in outputs]} scalars")
        return graph, given, outputs, places

    def _forward(self) -> tuple[list[list[Number]], dict[str, tuple[int, int]]]:
        _, _, outputs, places = self._graph()
        return outputs, places

    def _gradients(self) -> tuple[list[list[Number]], dict[str, tuple[int, int]]]:
        graph, given, outputs, places = self._graph()
        count = len(given)
        seeds = [_variables(graph, count + k, len(x), places) for k, x in enumerate(outputs)]
        flat = gradients(
            [x for each in outputs for x in each],
            [x for each in seeds for x in each],
            [x for each in given for x in each],
        )
        return _split(flat, self.input_sizes), places

    def _tangents(self) -> tuple[list[list[Number]], dict[str, tuple[int, int]]]:
        graph, given, outputs, places = self._graph()
        count = len(given)
        moves = [_variables(graph, count + k, len(x), places) for k, x in enumerate(given)]
        directions = {
            x.number: move for xs, each in zip(given, moves) for x, move in zip(xs, each, strict=True)
        }
        flat = tangents([x for each in outputs for x in each], directions)  # type: ignore[arg-type]
        return _split(flat, self.output_sizes), places

    # --- calls -----------------------------------------------------------------------------------
    def __call__(self, *tensors: torch.Tensor) -> Any:
        """The outputs, one or a tuple of several, for inputs whose shapes are a batch's, which broadcast,
        and then an element's. Raises ArgumentError for other shapes, UnsupportedDtype for other types than
        float32 and float64."""
        self._check(tensors)
        found = Applied.apply(self, *tensors)
        return found[0] if len(self.outputs) == 1 else found

    def _check(self, tensors: Sequence[torch.Tensor]) -> None:
        dtype, device = tensors[0].dtype, tensors[0].device
        if dtype not in DTYPES:
            raise UnsupportedDtype(self.name, dtype)
        for place, (x, shape) in enumerate(zip(tensors, self.inputs, strict=True)):
            if x.dtype != dtype or x.device != device:
                raise ArgumentError(
                    f"{self.name}: argument {place} is {x.dtype} on {x.device}, the first one {dtype} on "
                    f"{device}; convert one of them"
                )
            if x.dim() < len(shape) or tuple(x.shape[x.dim() - len(shape) :]) != shape:
                raise ArgumentError(
                    f"{self.name}: argument {place} has shape {tuple(x.shape)}; its last "
                    f"{len(shape)} dimensions must be {shape}"
                )

    def run(
        self,
        kernel: GeneratedKernel,
        tensors: Sequence[torch.Tensor],
        shapes: Sequence[Shape],
        out: Sequence[Shape],
    ) -> tuple[torch.Tensor, ...]:
        """One of the kernels over a batch: `shapes` are the elements' of the inputs, `out` those of the
        outputs."""
        batches = [x.shape[: x.dim() - len(shape)] for x, shape in zip(tensors, shapes)]
        batch = _together(batches)
        count = math.prod(batch)
        flat = [
            x.reshape(-1)
            if len(own) == 0 or math.prod(own) == 1
            else x.expand(*batch, *shape).reshape(count, math.prod(shape))
            for x, own, shape in zip(tensors, batches, shapes)
        ]
        flat = [x if x.is_contiguous() else x.contiguous() for x in flat]
        outs = kernel.launch([math.prod(shape) for shape in out], flat, count)
        # Not views: forward mode does not take views for results.
        return tuple(x.resize_((*batch, *shape)) for x, shape in zip(outs, out))


class Applied(torch.autograd.Function):
    """A formula, with both derivatives."""

    @staticmethod
    def forward(formula: Formula, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        """The outputs."""
        return formula.run(formula.forward, tensors, formula.inputs, formula.outputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the inputs for both derivatives."""
        ctx.formula = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of all inputs, summed over what was broadcast."""
        formula, tensors = ctx.formula, ctx.saved_tensors
        found = Derivative.apply(formula, True, *tensors, *grad_outputs)
        return None, *(
            _summed(g, x.shape) if wanted else None
            for g, x, wanted in zip(found, tensors, ctx.needs_input_grad[1:], strict=True)
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> tuple[torch.Tensor, ...]:
        """The tangents of the outputs."""
        formula, tensors = ctx.formula, ctx.saved_tensors
        moves = [
            torch.zeros_like(x) if move is None else move
            for x, move in zip(tensors, grad_inputs[1:], strict=True)
        ]
        return Derivative.apply(formula, False, *tensors, *moves)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """A batch more in front."""
        formula = args[0]
        moved = _in_front(info, in_dims[1:], args[1:], formula.inputs)
        found = Applied.apply(formula, *moved)
        return found, (0,) * len(found)


class Derivative(torch.autograd.Function):
    """One of the derivatives' kernels: with `back`, gradients of the inputs for those of the outputs; else
    tangents of the outputs for those of the inputs. It has no derivative itself."""

    @staticmethod
    def forward(formula: Formula, back: bool, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        """Over inputs and seeds, or inputs and their tangents."""
        shapes = _shapes(formula, back)
        if back:
            return formula.run(formula.gradient, tensors, shapes, formula.inputs)
        return formula.run(formula.tangent, tensors, shapes, formula.outputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Only who is refused."""
        ctx.formula = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """There is none."""
        raise _no_second(ctx.formula)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """There is none."""
        raise _no_second(ctx.formula)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """A batch more in front."""
        formula, back = args[:2]
        moved = _in_front(info, in_dims[2:], args[2:], _shapes(formula, back))
        found = Derivative.apply(formula, back, *moved)
        return found, (0,) * len(found)


def _no_second(formula: Formula) -> ArgumentError:
    return ArgumentError(
        f"{formula.name}: it has no second derivative; detach the argument, or use a composition of "
        f"PyTorch's operators"
    )


def _shapes(formula: Formula, back: bool) -> list[Shape]:
    return [*formula.inputs, *(formula.outputs if back else formula.inputs)]


def _in_front(info: Any, dims: Sequence[Any], tensors: Sequence[Any], shapes: Sequence[Shape]) -> list[Any]:
    """Tensors with the batch of a `vmap` as the first dimension of all, and as many more as any has."""
    rank = max(x.dim() - len(shape) - (dim is not None) for x, dim, shape in zip(tensors, dims, shapes))
    moved = []
    for x, dim, shape in zip(tensors, dims, shapes, strict=True):
        x = x.unsqueeze(0) if dim is None else x.movedim(dim, 0)
        missing = rank + 1 + len(shape) - x.dim()
        moved.append(x.reshape(x.shape[0], *(1,) * missing, *x.shape[1:]))
    return moved


def _summed(gradient: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A gradient summed to the shape of an argument that was broadcast."""
    if gradient.shape == tuple(shape):
        return gradient
    return gradient.sum_to_size(*shape) if shape else gradient.sum()


def _together(shapes: Sequence[Shape]) -> Shape:
    """The shape that shapes broadcast to; PyTorch's own function imports its compiler's algebra for that,
    which takes seconds. Raises ArgumentError."""
    found: list[int] = []
    for shape in shapes:
        found[:0] = [1] * (len(shape) - len(found))
        for back, size in enumerate(reversed(shape), 1):
            if size != 1 and found[-back] not in (1, size):
                raise ArgumentError(
                    f"batches of {', '.join(str(tuple(x)) for x in shapes)} do not broadcast; make them alike"
                )
            if size != 1:
                found[-back] = size
    return tuple(found)


def _variables(graph: Graph, tensor: int, size: int, places: dict[str, tuple[int, int]]) -> list[Scalar]:
    found = []
    for place in range(size):
        name = f"{tensor}.{place}"
        places[name] = (tensor, place)
        found.append(graph.variable(name))
    return found


def _shaped(scalars: Sequence[Scalar], shape: Shape) -> Any:
    """Nested lists in a shape; a scalar for an empty one."""
    if not shape:
        return scalars[0]
    if len(shape) == 1:
        return list(scalars)
    step = math.prod(shape[1:])
    return [_shaped(scalars[k * step : (k + 1) * step], shape[1:]) for k in range(shape[0])]


def _flat(value: Any) -> list[Number]:
    """The scalars of nested lists, in their order."""
    if not isinstance(value, (list, tuple)):
        return [value]
    return [x for each in value for x in _flat(each)]


def _split(flat: Sequence[Number], sizes: Sequence[int]) -> list[list[Number]]:
    found, at = [], 0
    for size in sizes:
        found.append(list(flat[at : at + size]))
        at += size
    return found

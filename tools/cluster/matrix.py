"""Every collective with every element type, each against the exact result. Flows in: a process group. Flows
out: for each pair what came of it: "right", "wrong", or the refusal's first line.

Values are small integers, so that every type holds them and sums have no rounding; results are computed
here from all ranks' inputs, in whole numbers or float64, by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from anychip.cluster.dtypes import MOVED_ONLY, REDUCTIONS

OPERATIONS = ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR")
DTYPES = (*REDUCTIONS, *MOVED_ONLY)
LAYOUTS = ("contiguous", "transposed", "every second")
"""Strides of each rank's tensors. Transposed are those of odd ranks; the others' are contiguous."""
Array = np.ndarray[Any, Any]
Trial = Callable[[torch.dtype, str], "tuple[list[torch.Tensor], list[Array]]"]


def exact(tensor: torch.Tensor) -> Array:
    """The elements as numbers that NumPy has: complex128, float64, or whole numbers of any size."""
    tensor = tensor.detach().resolve_conj().contiguous()
    if tensor.dtype in MOVED_ONLY:
        return tensor.view(torch.uint8).numpy().astype(object)
    if tensor.is_complex():
        return torch.view_as_real(tensor).double().numpy().view(np.complex128)[..., 0]
    if tensor.is_floating_point():
        return tensor.double().numpy()
    return tensor.numpy().astype(object)


def values(dtype: torch.dtype, rank: int, shape: tuple[int, ...], layout: str) -> torch.Tensor:
    """What rank `rank` brings: the same on every process that asks."""
    generator = np.random.default_rng([rank, *shape])
    if dtype in MOVED_ONLY:
        bytes_ = torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8))
        return bytes_.view(dtype)
    signed = (
        dtype.is_floating_point
        or dtype.is_complex
        or (dtype is not torch.bool and torch.iinfo(dtype).min < 0)
    )
    numbers = generator.integers(-3 if signed else 0, 4, shape)
    if "e8m0" in str(dtype):
        numbers = 2 ** np.abs(numbers)
    if dtype is torch.bool:
        numbers = numbers % 2
    made = torch.from_numpy(numbers)
    if dtype.is_complex:
        parts = torch.from_numpy(generator.integers(-2, 3, shape))
        return laid_out(torch.complex(made.double(), parts.double()).to(dtype), layout)
    return laid_out(made.double().to(dtype) if dtype.is_floating_point else made.to(dtype), layout)


def laid_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """The same elements with strides of a layout. Memory beside them holds the pattern that `beside`
    checks."""
    if layout == "transposed" and tensor.dim() == 2:
        return tensor.t().contiguous().t()
    if layout == "every second":
        wide = torch.zeros((*tensor.shape, 2), dtype=tensor.dtype)
        view = wide[..., 0]
        view.copy_(tensor)
        return view
    return tensor.contiguous()


def beside(tensor: torch.Tensor, layout: str) -> bool:
    """Whether the memory beside the elements of a strided result is what it was."""
    if layout != "every second" or tensor.stride(-1) != 2:
        return True
    other = torch.as_strided(tensor, tensor.shape, tensor.stride(), tensor.storage_offset() + 1)
    return not bool(other.clone(memory_format=torch.contiguous_format).view(torch.uint8).any())


def reduced(terms: list[Array], operation: str, dtype: torch.dtype) -> Array:
    """The reduction of exact numbers; whole numbers wrap as the type's."""
    stack = np.stack(terms)
    if dtype is torch.bool:
        stack = stack.astype(bool)
        of_bools = {"SUM": "any", "MAX": "any", "BOR": "any", "PRODUCT": "all", "MIN": "all", "BAND": "all"}
        if operation == "BXOR":
            return np.logical_xor.reduce(stack).astype(object)
        return getattr(stack, of_bools[operation])(axis=0).astype(object)
    functions = {
        "SUM": np.add, "AVG": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum,
        "BAND": np.bitwise_and, "BOR": np.bitwise_or, "BXOR": np.bitwise_xor,
    }  # fmt: skip
    result = functions[operation].reduce(stack)
    if operation == "AVG":
        result = result / len(terms)
    if dtype.is_floating_point:
        result = exact(torch.from_numpy(result).to(dtype))
    if not (dtype.is_floating_point or dtype.is_complex):
        low, span = torch.iinfo(dtype).min, 2 ** torch.iinfo(dtype).bits
        result = (result - low) % span + low
    return result


def trials(rank: int, size: int, shape: tuple[int, ...]) -> Iterator[tuple[str, Trial]]:
    """Name -> what is done and what must come of it."""
    root = size - 1
    wide = (size * shape[0], *shape[1:])

    def mine(dtype: torch.dtype, layout: str, of: tuple[int, ...] = shape) -> torch.Tensor:
        return values(dtype, rank, of, layout)

    def of(dtype: torch.dtype, source: int, shape_of: tuple[int, ...] = shape) -> Array:
        return exact(values(dtype, source, shape_of, "contiguous"))

    def empty(dtype: torch.dtype, layout: str, of: tuple[int, ...] = shape) -> torch.Tensor:
        if dtype in MOVED_ONLY:
            return torch.zeros(of, dtype=torch.uint8).view(dtype)
        return laid_out(torch.zeros(of, dtype=torch.uint8).to(dtype), layout)

    for operation in OPERATIONS:

        def all_reduce(dtype: torch.dtype, layout: str, operation: str = operation) -> Any:
            tensor = mine(dtype, layout)
            dist.all_reduce(tensor, getattr(dist.ReduceOp, operation))
            return [tensor], [reduced([of(dtype, r) for r in range(size)], operation, dtype)]

        yield f"all_reduce {operation}", all_reduce

    def reduce(dtype: torch.dtype, layout: str) -> Any:
        tensor = mine(dtype, layout)
        dist.reduce(tensor, root)
        total = reduced([of(dtype, r) for r in range(size)], "SUM", dtype)
        return ([tensor], [total]) if rank == root else ([], [])

    def reduce_scatter(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, layout)
        dist.reduce_scatter(output, [values(dtype, rank * size + to, shape, layout) for to in range(size)])
        return [output], [reduced([of(dtype, r * size + rank) for r in range(size)], "SUM", dtype)]

    def reduce_scatter_tensor(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, layout)
        dist.reduce_scatter_tensor(output, mine(dtype, "contiguous", wide))
        total = reduced([of(dtype, r, wide) for r in range(size)], "SUM", dtype)
        return [output], [total.reshape(size, *shape)[rank]]

    def broadcast(dtype: torch.dtype, layout: str) -> Any:
        tensor = mine(dtype, layout)
        dist.broadcast(tensor, root)
        return [tensor], [of(dtype, root)]

    def all_gather(dtype: torch.dtype, layout: str) -> Any:
        outputs = [empty(dtype, layout) for _ in range(size)]
        dist.all_gather(outputs, mine(dtype, layout))
        return outputs, [of(dtype, r) for r in range(size)]

    def all_gather_into_tensor(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, "contiguous", wide)
        dist.all_gather_into_tensor(output, mine(dtype, layout))
        return [output], [np.concatenate([of(dtype, r) for r in range(size)])]

    def gather(dtype: torch.dtype, layout: str) -> Any:
        outputs = [empty(dtype, layout) for _ in range(size)] if rank == root else []
        dist.gather(mine(dtype, layout), outputs or None, root)
        return outputs, [of(dtype, r) for r in range(size)] if rank == root else []

    def scatter(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, layout)
        rows = [values(dtype, to, shape, layout) for to in range(size)] if rank == root else None
        dist.scatter(output, rows, root)
        return [output], [of(dtype, rank)]

    def all_to_all(dtype: torch.dtype, layout: str) -> Any:
        outputs = [empty(dtype, layout) for _ in range(size)]
        dist.all_to_all(outputs, [values(dtype, rank * size + to, shape, layout) for to in range(size)])
        return outputs, [of(dtype, r * size + rank) for r in range(size)]

    def all_to_all_single(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, "contiguous", wide)
        dist.all_to_all_single(output, mine(dtype, "contiguous", wide))
        return [output], [
            np.concatenate([of(dtype, r, wide).reshape(size, *shape)[rank] for r in range(size)])
        ]

    def send_and_recv(dtype: torch.dtype, layout: str) -> Any:
        output = empty(dtype, layout)
        sent = dist.isend(mine(dtype, layout), (rank + 1) % size)
        dist.recv(output, (rank - 1) % size)
        assert sent is not None
        sent.wait()
        return [output], [of(dtype, (rank - 1) % size)]

    for trial in (
        reduce, reduce_scatter, reduce_scatter_tensor, broadcast, all_gather, all_gather_into_tensor, gather,
        scatter, all_to_all, all_to_all_single, send_and_recv,
    ):  # fmt: skip
        yield trial.__name__, trial


def _of_this_rank(name: str, layout: str) -> str:
    """Messages are transposed on both sides: gloo refuses on one and ends the process on the other."""
    even = layout == "transposed" and dist.get_rank() % 2 == 0
    return "contiguous" if even and name != "send_and_recv" else layout


def measured(shape: tuple[int, ...], layouts: tuple[str, ...] = LAYOUTS) -> dict[str, str]:
    """ "collective/dtype/layout" -> what came of it, on this rank."""
    found = {}
    for name, trial in trials(dist.get_rank(), dist.get_world_size(), shape):
        for dtype in DTYPES:
            for layout in layouts:
                here = _of_this_rank(name, layout)
                try:
                    results, expected = trial(dtype, here)
                except Exception as error:
                    told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                else:
                    right = all(
                        np.array_equal(exact(result), wanted) and beside(result, here)
                        for result, wanted in zip(results, expected)
                    )
                    told = "right" if right else "wrong"
                found[f"{name}/{str(dtype).removeprefix('torch.')}/{layout}"] = told
    return found

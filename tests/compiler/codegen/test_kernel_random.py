"""Whole kernels against NumPy: random tile programs, run on the CPU by the Triton plug-in."""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .program_generator import MIDDLE, program

_numbers = itertools.count()


def _rem(a, b):
    return np.fmod(a, b)


def _quo(a, b):
    return (a - np.fmod(a, b)) // b


def _spread(value, shape):
    return np.broadcast_to(
        np.asarray(value).astype(np.int32) if np.asarray(value).dtype == np.int64 else value, shape
    )


def _cast(value, dtype):
    return np.asarray(value).astype(dtype)


def _load(buffer, index, shape, mask=None, other=0):
    index = np.broadcast_to(index, shape)
    if mask is None:
        return buffer[index]
    mask = np.broadcast_to(mask, shape)
    return np.where(mask, buffer[np.where(mask, index, 0)], buffer.dtype.type(other))


def _store(buffer, index, value, mask=True):
    index, mask = np.broadcast_to(index, value.shape), np.broadcast_to(mask, value.shape)
    buffer[index[mask]] = value[mask]


def _cumsum(value, axis, reverse):
    value = np.flip(value, axis) if reverse else value
    total = np.cumsum(value, axis, dtype=value.dtype)
    return np.flip(total, axis) if reverse else total


NUMPY = {
    "arange": lambda a, b: np.arange(a, b, dtype=np.int32),
    "rem": _rem,
    "quo": _quo,
    "spread": _spread,
    "cast": _cast,
    "load": _load,
    "store": _store,
    "cumsum": _cumsum,
    "int32": np.int32,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "where": np.where,
    "expand_dims": np.expand_dims,
    "transpose": np.transpose,
    "reshape": np.reshape,
    "stack": np.stack,
    "flip": np.flip,
    "bitwise_xor": np.bitwise_xor,
    "sort": np.sort,
    "take_along_axis": np.take_along_axis,
}


def _module(source: str, folder: str) -> types.ModuleType:
    name = f"random_kernel_{next(_numbers)}"
    path = Path(folder) / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(kernel: str, reference: str, scalars: tuple[int, int, int, int], seed: int) -> None:
    """Run both texts on the same numbers and compare all memory."""
    random = np.random.default_rng(seed)
    x = random.integers(-100, 100, 2 * MIDDLE, dtype=np.int32)
    y = random.integers(-100, 100, 2 * MIDDLE, dtype=np.int32)
    z = random.integers(-16, 16, 2 * MIDDLE).astype(np.float32)
    tensors = [torch.from_numpy(a.copy()) for a in (x, y, z)]
    with np.errstate(over="ignore", invalid="ignore"):
        namespace = dict(NUMPY)
        exec(reference, namespace)
        namespace["reference"](x, y, z, *map(np.int32, scalars))
    with tempfile.TemporaryDirectory() as folder:
        _module(kernel, folder).kernel[(1,)](*tensors, *scalars)
    for name, expected, actual in zip("xyz", (x, y, z), tensors, strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected, err_msg=f"buffer {name}")


CHECKS: Any = list(HealthCheck)


@settings(max_examples=60, suppress_health_check=CHECKS)
@given(
    seed=st.integers(0, 1 << 32),
    statements=st.integers(1, 12),
    scalars=st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(-3, 3), st.integers(-3, 3)),
)
def test_random_programs_agree_with_numpy(
    seed: int, statements: int, scalars: tuple[int, int, int, int]
) -> None:
    kernel, reference = program(seed, statements)
    note(kernel)
    note(reference)
    check(kernel, reference, scalars, seed)

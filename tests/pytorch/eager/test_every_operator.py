"""Every operator of the library called from native code: each sample often enough that its signature is
recorded, then with other values in the same layout. The oracle is the Python path for the same arguments: the
same kernels must give the same bits, in tensors of the same layout. One overload in 24 is tried; the rest
are slow tests."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.pytorch.eager.calling import site as site_of
from torch.utils._pytree import tree_flatten, tree_map

from anychip.ops.registry import Operator, Overload, no_samples, operators
from anychip.pytorch import using
from anychip.pytorch.dispatch import has_kernel, variants_served
from anychip.pytorch.eager import sites
from anychip.pytorch.layouts import copied, layout_of

ONE_IN = 24
RECORDED_AFTER = 3

FROM_PYTHON = {
    "_ctc_loss": "a tensor is made of numbers at each call",
    "_ctc_loss.Tensor": "lengths are read",
    "_embedding_bag_forward_only": "the largest number is read",
    "_ctc_loss_backward.Tensor": "lengths are read",
    "_fused_moving_avg_obs_fq_helper": "switches are read",
    "_unique": "the result's size is read",
    "_unique2": "the result's size is read",
    "arange.start_out": "the result that is given is resized",
    "cholesky": "a failure is read",
    "equal": "the result is no tensor",
    "eye.m_out": "the result that is given is resized",
    "isin.Scalar_Tensor": "a tensor is made of a number at each call",
    "linalg_eigvals.out": "a failure is read",
    "linalg_lstsq.out": "ranks are read",
    "masked_scatter_": "the number of elements is read",
    "unique_consecutive": "the result's size is read",
}
"""Overloads of whose samples none is served by native code, with the reason."""

CASES = [
    pytest.param(
        operator,
        overload,
        id=overload.name,
        marks=() if zlib.crc32(overload.name.encode()) % ONE_IN == 0 else pytest.mark.slow,
    )
    for operator in operators().values()
    for overload in operator.overloads
    if overload.samples is not no_samples and has_kernel(overload.name, "CPU")
]


@pytest.fixture(scope="module", autouse=True)
def portable() -> Iterator[None]:
    """The library serves PyTorch's operators."""
    with using("portable"):
        yield


def same_values(value: Any) -> Any:
    """A tensor of the same layout and values."""
    return copied(value) if isinstance(value, torch.Tensor) else value


def other_values(value: Any) -> Any:
    """A tensor of the same layout; of floating numbers, those from the last to the first."""
    if not isinstance(value, torch.Tensor):
        return value
    copy = copied(value)
    if value.is_floating_point() and value.itemsize > 1 and value.numel():
        flat = torch.empty(0, dtype=copy.dtype).set_(copy.untyped_storage())
        flat.copy_(flat.flip(0))
    return copy


def outcome(result: Any, arguments: Any) -> list[Any]:
    """What a call gives: the leaves of its result, and its arguments after it."""
    return tree_flatten((result, arguments))[0]


def bits(x: torch.Tensor) -> bytes:
    """The elements of a tensor as they lie in memory."""
    dense = x.detach().clone(memory_format=torch.contiguous_format)
    return ctypes.string_at(dense.data_ptr(), dense.numel() * dense.element_size()) if dense.numel() else b""


@pytest.mark.parametrize(("operator", "overload"), CASES)
def test_native_calls_do_what_python_does(operator: Operator, overload: Overload) -> None:
    name = overload.name
    assert name in variants_served()
    packet, _, which = name.partition(".")
    call = getattr(getattr(torch.ops.aten, packet), which or "default")
    site, shared = site_of(name), sites.world()
    assert shared is not None
    for sample in overload.samples(operator.dtypes[0]):
        given = tree_map(same_values, tuple(sample))
        for _ in range(RECORDED_AFTER):
            again = tree_map(same_values, given)
            call(*again[0], **again[1])
        for change in (same_values, other_values):
            arguments, keywords = tree_map(change, given)
            for_python = tree_map(same_values, (arguments, keywords))
            before = site.native_calls
            got = outcome(call(*arguments, **keywords), (arguments, keywords))
            if site.native_calls == before:
                continue  # what results that are not filled hold differs
            with sites.through_python():
                wanted = outcome(call(*for_python[0], **for_python[1]), for_python)
            assert len(got) == len(wanted)
            for ours, theirs in zip(got, wanted):
                if isinstance(ours, torch.Tensor):
                    assert layout_of(ours) == layout_of(theirs)
                    assert bits(ours) == bits(theirs)
                else:
                    assert ours == theirs or (ours != ours and theirs != theirs)
    assert site.served or name in FROM_PYTHON

"""PyTorch's own sample inputs (OpInfo) for the operators that the library serves, under the portable
policy: the result is compared with PyTorch's, in-place and `out=` forms included, and the overload in
question must have been served by our kernels."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

import anychip
from anychip.ops.launch import launches
from anychip.ops.registry import overloads

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")
from torch.testing._internal.common_methods_invocations import op_db

SAMPLES = 6
SERVED = {name.partition(".")[0].lstrip("_") for name in overloads()}
RANDOM = {"bernoulli", "normal", "uniform", "exponential", "native_dropout_backward"}
NAMES = {
    "nn.functional.softmax": "softmax",
    "nn.functional.linear": "linear",
    "nn.functional.layer_norm": "layer_norm",
    "nn.functional.embedding": "embedding",
    "nn.functional.gelu": "gelu",
    "nn.functional.silu": "silu",
    "nn.functional.relu": "relu",
    "nn.functional.leaky_relu": "leaky_relu",
    "nn.functional.hardtanh": "hardtanh",
    "nn.functional.softplus": "softplus",
    "nn.functional.elu": "elu",
    "nn.functional.mish": "mish",
    "nn.functional.threshold": "threshold",
    "nn.functional.hardswish": "hardswish",
    "nn.functional.hardsigmoid": "hardsigmoid",
    "nn.functional.cosine_similarity": "cosine_similarity",
    "nn.functional.normalize": "normalize",
    "nn.functional.nll_loss": "nll_loss",
    "nn.functional.cross_entropy": "cross_entropy",
    "nn.functional.scaled_dot_product_attention": "attention",
}
COMPOSITES = {
    "matmul", "linear", "clone", "stack", "full_like", "zeros_like", "ones_like", "outer",
    "std_mean", "square", "masked_fill", "softmax", "log_softmax", "layer_norm", "take_along_dim",
}  # fmt: skip
CASES = [
    pytest.param(op, id=f"{op.name}{'.' + op.variant_test_name if op.variant_test_name else ''}")
    for op in op_db
    if (op.name in SERVED | COMPOSITES or op.name in NAMES) and op.name not in RANDOM
    if "decimals" not in op.variant_test_name
    if op.supports_dtype(torch.float32, "cpu")
]


def detached(value: Any) -> Any:
    """A copy of a tensor in the same layout; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    storage = value.detach().untyped_storage().clone()
    return torch.empty(0, dtype=value.dtype).set_(
        storage, value.storage_offset(), value.shape, value.stride()
    )


def assert_same(ours: Any, theirs: Any) -> None:
    """Close to PyTorch's float32 result: both have rounded, each in its own order."""
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5, equal_nan=True, check_stride=False)


@pytest.mark.parametrize("op", CASES)
def test_sample_inputs(op: Any) -> None:
    samples = list(itertools.islice(op.sample_inputs("cpu", torch.float32), SAMPLES))
    before = sum(launches.values())
    elements = 0
    for sample in samples:
        if sample.kwargs.get("dropout_p"):
            continue
        arguments, keywords = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        expected = op(*arguments, **keywords)
        arguments, keywords = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        with anychip.using("portable"):
            actual = op(*arguments, **keywords)
        assert_same(actual, expected)
        if isinstance(expected, torch.Tensor):
            elements += expected.numel()
        if op.inplace_variant is not None and not sample.broadcasts_input:
            arguments, keywords = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
            if not isinstance(arguments[0], torch.Tensor) or not isinstance(expected, torch.Tensor):
                continue
            if expected.dtype != arguments[0].dtype or expected.shape != arguments[0].shape:
                continue
            with anychip.using("portable"):
                op.inplace_variant(*arguments, **keywords)
            assert_same(arguments[0], expected)
    if elements:
        assert sum(launches.values()) > before

"""The registry: every record complete, every file's operator reachable, contradictions refused."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest
import torch

from anychip import ops
from anychip.ops.errors import RegistryError
from anychip.ops.registry import Operator, no_samples, operators, overloads, register
from anychip.ops.schemas import binder, overload_of

DRAWN_AT_RANDOM = {
    "_dirichlet_grad",
    "_sample_dirichlet",
    "_standard_gamma",
    "_standard_gamma_grad",
    "bernoulli.out",
    "bernoulli_.Tensor",
    "bernoulli_.float",
    "binomial",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "multinomial",
    "native_dropout",
    "normal.Tensor_Tensor",
    "normal.Tensor_float",
    "normal.float_Tensor",
    "normal_",
    "poisson",
    "random_",
    "random_.from",
    "random_.to",
    "uniform_",
}
"""Overloads with no oracle for single values; test_random.py and the tests under random/ look at their
distributions, and at the derivatives of samples."""

SAME_FUNCTION_AS_ANOTHER = {"fill_.Tensor"}
TESTED_THROUGH_PYTORCH = {"_cummax_helper", "_cummin_helper"}
"""They return nothing; tests/ops/scan/test_extremes.py compares what they write."""

TESTED_THROUGH_OPTIMIZERS = {
    "_amp_foreach_non_finite_check_and_unscale_",
    *(f"_fused_{name}_{rate}" for name in ("adam", "adamw", "sgd", "adagrad") for rate in ("", ".tensor_lr")),
}
"""They write lists of tensors in place; tests/ops/optimizer/test_torch_optim.py compares these."""


def test_what_is_said_to_take_out_takes_it() -> None:
    saying = [overload for _, overload in overloads().values() if overload.takes_out]
    assert len(saying) > 100
    for overload in saying:
        parameters = inspect.signature(overload.implementation).parameters
        assert "out" in parameters, overload.name


def test_records_are_complete() -> None:
    for operator in operators().values():
        assert operator.overloads, operator.name
        assert operator.kernels, operator.name
        assert operator.dtypes, operator.name
        for device in ("cpu", "cuda"):
            assert operator.tiles.on(torch.device(device)), operator.name


def test_every_overload_has_samples() -> None:
    without = {name for name, (_, overload) in overloads().items() if overload.samples is no_samples}
    assert (
        without
        == DRAWN_AT_RANDOM | SAME_FUNCTION_AS_ANOTHER | TESTED_THROUGH_PYTORCH | TESTED_THROUGH_OPTIMIZERS
    )


def test_names_are_registered_once() -> None:
    first = next(iter(operators().values()))
    with pytest.raises(RegistryError, match="registered twice"):
        register(first)
    with pytest.raises(RegistryError, match="is served by"):
        register(dataclasses.replace(first, name="another name"))


def test_unknown_overloads_and_arguments_are_refused() -> None:
    with pytest.raises(RegistryError, match="no_such_operator"):
        overload_of("no_such_operator.Tensor")
    with pytest.raises(RegistryError, match=r"no argument \['gamma'\]"):
        binder("add.Tensor(self, gamma)", lambda *operands, out=None: operands)


def test_binder_reorders_and_fills_defaults() -> None:
    _, bound, order = binder("rsub.Tensor(other, self, alpha)", lambda *operands, out=None: operands)
    assert order == ("other", "self", "alpha")
    assert bound(1, 2) == (2, 1, 1)
    assert bound(1, other=2, alpha=5) == (2, 1, 5)


def test_benchmarks_name_served_overloads() -> None:
    for operator in operators().values():
        names = {overload.name for overload in operator.overloads}
        assert {benchmark.overload for benchmark in operator.benchmarks} <= names


@pytest.mark.parametrize("name", ["matmul", "attention", "layer_norm", "softmax", "embedding", "add"])
def test_benchmarks_draw_arguments_of_the_overload(name: str) -> None:
    for benchmark in operators()[name].benchmarks:
        arguments = overload_of(benchmark.overload)._schema.arguments
        sample = benchmark.sample(torch.float32)
        assert 0 < len(sample.arguments) <= len(arguments)
        assert isinstance(sample.arguments[0], torch.Tensor)


def test_domains_are_the_folders_of_the_library() -> None:
    folders = {path.parent.name for path in Path(ops.__path__[0]).glob("*/*.py")} - {"kernels", "launching"}
    assert {operator.domain for operator in operators().values()} == folders
    assert operators()["randperm"].domain == "random"
    assert Operator("made in a test", (), ()).domain == ""

"""Tasks: every name gives arguments that PyTorch takes, fresh ones, of shapes that can be had again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from anychip.author.expected import forward
from anychip.author.tasks import Draw, find
from anychip.author.tasks.find import names
from anychip.author.tasks.known import TABLE
from anychip.author.tasks.task import VALUES, Arguments

KERNELS = Path(__file__).parent / "kernels"
SOME = (
    "_softmax",
    "add.Tensor",
    "sort",
    "linalg_lu_factor_ex",
    "gather",
    "native_layer_norm",
    "searchsorted.Tensor",
)
SMALL = 0.02


def tensors(arguments: Arguments) -> list[torch.Tensor]:
    return [x for x in tree_leaves(tuple(arguments)) if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize(
    "name",
    [*TABLE, *SOME, str(KERNELS / "reference_task.py"), str(KERNELS / "model_task.py")],
    ids=lambda name: Path(name).name,
)
def test_arguments_are_fresh_in_shapes_that_come_again(name: str) -> None:
    task = find(name)
    first, second = (task.draw(Draw(3, seed, SMALL, torch.float32, "normal")) for seed in (1, 2))
    other = [task.draw(Draw(seed, 1, 0.4, torch.float32)) for seed in range(4, 8)]
    assert [x.shape for x in tensors(first)] == [x.shape for x in tensors(second)]
    assert not all(torch.equal(x, y) for x, y in zip(tensors(first), tensors(second)))
    assert any([x.shape for x in tensors(first)] != [x.shape for x in tensors(one)] for one in other)
    wanted = forward(task, first, torch.float32)
    assert wanted.native
    assert wanted.fault([x.clone() for x in wanted.native]) is None


def test_every_operator_of_the_library_is_a_task() -> None:
    assert len(names()) > 400
    assert {"softmax", "_softmax", "add.Tensor", "convolution"} <= set(names())
    assert "rand" not in names()


@pytest.mark.parametrize("values", VALUES)
def test_zeros_are_wrong_for_every_kind_of_values(values: str) -> None:
    """The bound is no absolute tolerance: a mean that is nearly zero is not zero."""
    task = find("mean")
    arguments = task.draw(Draw(1, 2, 0.3, torch.float32, values))
    wanted = forward(task, arguments, torch.float32)
    assert wanted.fault([torch.zeros_like(x) for x in wanted.native]) is not None
    assert wanted.fault(wanted.native) is None


def test_sizes_grow_with_the_scale() -> None:
    task = find("matmul")
    small, large = (
        sum(x.numel() for x in tensors(task.draw(Draw(1, 1, s, torch.float32)))) for s in (0.0, 1.0)
    )
    assert large > 100 * small

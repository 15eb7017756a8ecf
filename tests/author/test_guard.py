"""The guard: what it lets through, what it refuses, and what it notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from anychip.author.arena import Arena, View, shared_memory
from anychip.author.guard import Guard, Refused
from anychip.runtime import launches

X = View(64, torch.float32, (4, 6), (6, 1), 64, 96)


@pytest.fixture
def guard() -> Iterator[Guard]:
    memory = shared_memory(1 << 16)
    made = Guard(Arena(memory, 1 << 16), [X], 1024)
    with launches.listen(made.launched):
        yield made


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.empty_like(x.t()),
        lambda x: torch.zeros(3, 5, dtype=torch.int32),
        lambda x: x.new_full((7,), 2.5),
        lambda x: torch.ones_like(x, dtype=torch.float64),
        lambda x: x.t().contiguous(),
        lambda x: x[1:, ::2].clone(),
        lambda x: x.to(torch.float16),
        lambda x: x.t().reshape(24),
        lambda x: torch.empty(3).fill_(4.0),
        lambda x: torch.empty(6, 4).copy_(x.t()),
    ],
)
def test_memory_comes_out_of_the_arena(guard: Guard, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = guard.arena.tensor(X)
    x.copy_(torch.arange(24.0).reshape(4, 6))
    wanted = call(x.clone())
    with guard:
        found = call(x)
    assert (found.shape, found.stride(), found.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)
    view = guard.view_of(found)
    assert view is not None
    assert view.start >= 1024
    steps, _ = guard.report()
    assert steps[0][0] == "allocate"
    if len(steps) > 1:  # filled or copied, and not by chance
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + 1,
        lambda x: x.sum().item(),
        lambda x: x[0, 0].item(),
        lambda x: torch.where(x > 0, x, 0),
        lambda x: x.mul_(2),
        lambda x: torch.cat([x, x]),
        lambda x: torch.nn.functional.gelu(x),
        lambda x: torch.arange(5).float().exp(),
        lambda x: bool((x == x).all()),
    ],
)
def test_what_computes_is_refused(guard: Guard, call: Callable[[torch.Tensor], object]) -> None:
    x = guard.arena.tensor(X)
    x.fill_(1.0)
    with pytest.raises(Refused, match="computes, or reads values"), guard:
        call(x)
    assert guard.refused


def test_views_and_facts_cost_no_step(guard: Guard) -> None:
    x = guard.arena.tensor(X)
    with guard:
        views = [x.t(), x[1], x.view(2, 12), x.unsqueeze(0).expand(3, 4, 6), *x.split(2), x.detach()]
        assert torch.result_type(x, 1) == torch.float32
        assert torch.promote_types(torch.float16, torch.float32) == torch.float32
    assert guard.report() == ([], {})
    assert all(guard.view_of(view) for view in views)


def test_a_tensor_without_elements_lies_anywhere(guard: Guard) -> None:
    """PyTorch gives it no address; its shape is kept."""
    view = guard.view_of(torch.empty(0, 3))
    assert view is not None
    assert view.shape == (0, 3)
    assert guard.view_of(torch.empty(1, 3)) is None


def test_an_arena_has_an_end(guard: Guard) -> None:
    with pytest.raises(Refused, match="65536 bytes"), guard:
        torch.empty(1 << 15)


def test_buffers_do_not_touch(guard: Guard) -> None:
    with guard:
        torch.empty(16)
        torch.empty(16)
    (first, size), (second, _) = guard.buffers[1:]
    assert first + size < second

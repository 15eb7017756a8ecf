"""Compiled graphs that are replayed as lists of launches, against eager PyTorch, and those that must not
be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from anychip.pytorch.compilation import backend
from anychip.pytorch.compilation.replay import Replay
from anychip.pytorch.program import Program
from anychip.runtime import launches


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """The Programs that were replayed, one entry for each replay."""
    seen: list[Program] = []
    replay = Program.replay

    def noted(self: Program, *arguments: Any) -> Any:
        seen.append(self)
        return replay(self, *arguments)

    monkeypatch.setattr(Program, "replay", noted)
    return seen


def compiled(function: Any, **options: Any) -> Callable[..., Any]:
    return torch.compile(function, backend=backend, **options)


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=2e-4, atol=2e-5)


def test_inference_is_replayed_into_fresh_memory(replays: list[Program]) -> None:
    module = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 8), nn.Softmax(-1)).eval()
    run = compiled(module)
    with torch.no_grad():
        inputs = [torch.randn(6, 16) for _ in range(5)]
        results = [run(x) for x in inputs]
        before = launches.count()
        results.append(run(inputs[0]))
        made = launches.count() - before
    assert len(replays) == 4
    assert made == len(replays[0].launches.launches) > 1
    assert len({result.data_ptr() for result in results}) == len(results)
    for x, result in zip([*inputs, inputs[0]], results, strict=True):
        close(result, module(x).detach())


def test_a_training_loop_is_replayed(replays: list[Program]) -> None:
    models, losses = [], []
    for make in (compiled, lambda module: module):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4))
        run, optimizer = make(module), torch.optim.SGD(module.parameters(), 0.1)
        generator = torch.Generator().manual_seed(1)
        for _ in range(5):
            x = torch.randn(6, 16, generator=generator)
            optimizer.zero_grad()
            loss = run(x).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        models.append(list(module.parameters()))
    assert len(replays) == 2 * 3
    assert len(set(replays)) == 2
    for ours, theirs in zip(*models, strict=True):
        close(ours.detach(), theirs.detach())
    for ours, theirs in zip(losses[:5], losses[5:], strict=True):
        close(ours, theirs)


def test_what_a_graph_writes_into_its_inputs_is_written(replays: list[Program]) -> None:
    norms = [nn.BatchNorm1d(8).train() for _ in range(2)]
    run = compiled(norms[0])
    for _ in range(5):
        x = torch.randn(6, 8)
        close(run(x).detach(), norms[1](x).detach())
    assert replays
    for ours, theirs in zip(norms[0].buffers(), norms[1].buffers(), strict=True):
        close(ours, theirs)


def test_a_graph_that_turns_out_not_to_be_replayed_runs_once(replays: list[Program]) -> None:
    def function(x: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        total.add_(x.sum(0))
        return torch.linalg.inv(total.diag() + 1.5 * torch.eye(8))

    run = compiled(function)
    totals = [torch.ones(8), torch.ones(8)]
    for _ in range(4):
        x = torch.rand(3, 8)
        close(run(x, totals[0]), function(x, totals[1]))
        close(*totals)
    assert replays == []


def test_inputs_that_are_parts_of_one_tensor(replays: list[Program]) -> None:
    """Queries, keys and values of one product, which the backward graph is given as views."""
    torch.manual_seed(2)
    models = [nn.Linear(16, 48), nn.Linear(16, 48)]
    models[1].load_state_dict(models[0].state_dict())

    def attend(project: nn.Module, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.view(2, 6, 2, 8).transpose(1, 2) for part in project(x).split(16, -1))
        return nn.functional.scaled_dot_product_attention(q, k, v) * torch.tanh(q)

    run = compiled(attend)
    for _ in range(4):
        x = torch.randn(2, 6, 16)
        for function, model in zip((run, attend), models):
            model.zero_grad()
            function(model, x).square().sum().backward()
        for ours, theirs in zip(models[0].parameters(), models[1].parameters()):
            assert ours.grad is not None
            assert theirs.grad is not None
            close(ours.grad, theirs.grad)
    assert len(set(replays)) == 2


def test_results_that_are_views_of_inputs_in_one_memory(replays: list[Program]) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.mT, y[1:], torch.exp(x + y)

    run = compiled(function)
    for _ in range(4):
        both = torch.randn(2, 4, 8)
        ours = run(*both)
        for result, expected in zip(ours, function(*both), strict=True):
            close(result, expected)
        both.zero_()
        assert not ours[0].any()
        assert not ours[1].any()
        assert ours[2].all()
    assert replays


def test_an_input_that_is_changed_in_memory_of_another(replays: list[Program]) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        y.mul_(2)
        return torch.tanh(x + y).sum(-1)

    run = compiled(function)
    for _ in range(4):
        memory = torch.rand(2, 4, 8)
        other = memory.clone()
        close(run(*memory), function(*other))
        close(memory, other)


def test_small_convolutions_are_ours_and_replayed(replays: list[Program]) -> None:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
    ).eval()
    run = compiled(module)
    with torch.no_grad():
        for layout in (torch.contiguous_format, torch.channels_last):
            for _ in range(3):
                x = torch.randn(2, 3, 9, 12).contiguous(memory_format=layout)
                close(run(x), module(x))
    assert len(replays) == 1


def inverse(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.inv(x * 2) + 1


def noise(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.dropout(x, 0.5) * 2


@pytest.mark.parametrize("function", [inverse, noise])
def test_what_is_more_than_launches_is_not_replayed(
    function: Callable[..., torch.Tensor], replays: list[Program]
) -> None:
    run, x = compiled(function), torch.eye(8) + torch.rand(8, 8)
    results = [run(x) for _ in range(4)]
    assert replays == []
    if function is inverse:
        for result in results:
            close(result, inverse(x))
    else:
        assert not torch.equal(results[2], results[3])


def test_shapes_that_vary_are_not_replayed(replays: list[Program]) -> None:
    run = compiled(lambda x: torch.softmax(x, -1) * 2, dynamic=True)
    for rows in (3, 5, 7, 9):
        x = torch.randn(rows, 16)
        close(run(x), torch.softmax(x, -1) * 2)
    assert replays == []


def test_inputs_elsewhere_in_memory(replays: list[Program]) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(x - y).sum(0), x.view(4, 4) * y[3]

    run, memory = compiled(function), torch.randn(64)
    for first, second in ((0, 16), (0, 16), (4, 20), (16, 16), (1, 33), (8, 8)):
        x, y = (memory[at : at + 16] if at else torch.randn(16) for at in (first, second))
        for ours, theirs in zip(run(x, y), function(x, y), strict=True):
            close(ours, theirs)


def test_who_listens_to_launches_hears_them(replays: list[Program]) -> None:
    run, x = compiled(lambda x: torch.exp(x).sum(-1)), torch.randn(4, 33)
    for _ in range(3):
        run(x)
    number = len(replays)
    assert number > 0
    with launches.record() as heard:
        run(x)
    assert any(launch.kernel.startswith("triton_") for launch in heard)
    assert len(replays) == number


def test_threads_replay_one_graph_at_once(replays: list[Program]) -> None:
    run = compiled(lambda x: torch.tanh(x) @ x.mT)
    inputs = [torch.full((8, 16), float(k)) for k in range(1, 5)]
    expected = [torch.tanh(x) @ x.mT for x in inputs]
    for x in inputs:
        run(x)
    wrong: list[int] = []

    def many(k: int) -> None:
        for _ in range(50):
            if not torch.allclose(run(inputs[k]), expected[k], rtol=1e-4):
                wrong.append(k)

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(replays) >= 200


def test_a_module_without_the_allocation_is_called_as_it_is() -> None:
    calls: list[Any] = []
    replay = Replay(calls.append, {})
    for _ in range(4):
        replay([1])
    assert calls == [[1]] * 4
    assert replay.program is None

"""Random numbers of PyTorch's own stream under a policy: `enable(random="native")`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import anychip
from anychip.pytorch.errors import PolicyError


def drawn() -> list[torch.Tensor]:
    """Numbers of several kinds, after a seed."""
    torch.manual_seed(7)
    x = torch.ones(50, requires_grad=True)
    dropped = F.dropout(x * 2, 0.3)
    dropped.sum().backward()
    assert x.grad is not None
    return [
        torch.randn(33),
        torch.rand(5, 7),
        torch.randint(100, (40,)),
        torch.randperm(30),
        torch.bernoulli(torch.full((20,), 0.4)),
        torch.multinomial(torch.arange(1.0, 9.0), 4),
        dropped.detach(),
        x.grad,
    ]


@pytest.fixture(scope="module")
def native() -> list[torch.Tensor]:
    anychip.disable()
    return drawn()


@pytest.mark.parametrize("policy", ["strict", "portable"])
def test_native_numbers_are_those_of_pytorch(policy: str, native: list[torch.Tensor]) -> None:
    anychip.report(reset=True)
    with anychip.using(policy, random="native"):
        got = drawn()
    assert all(torch.equal(a, b) for a, b in zip(got, native, strict=True))
    assert not anychip.report().fallen


def test_portable_numbers_are_others(native: list[torch.Tensor]) -> None:
    with anychip.using("strict"):
        torch.manual_seed(7)
        assert not torch.equal(torch.randn(33), native[0])


def test_the_stream_can_be_changed_back_and_forth(native: list[torch.Tensor]) -> None:
    streams = {}
    for random in ("native", "portable", "native"):
        anychip.enable("strict", random=random)
        torch.manual_seed(3)
        streams.setdefault(random, []).append(torch.rand(9))
    anychip.disable()
    assert torch.equal(*streams["native"])
    assert not torch.equal(streams["portable"][0], streams["native"][0])


def test_an_unknown_stream_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PolicyError, match="portable, native"):
        anychip.enable("strict", random="natve")

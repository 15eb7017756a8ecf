"""Memory that is written and read at once: refused where PyTorch refuses it, and otherwise what comes of a
copy of the input."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts
from anychip.ops.schemas import overload_of
from anychip.pytorch.dispatch import variants_served

Call = Callable[[], Any]


def refusal(call: Call) -> str:
    """What the refusal of a call says of memory; "" where it is not refused for that."""
    try:
        call()
    except RuntimeError as error:
        return str(error).split(" Please")[0] if "memory location" in str(error) else ""
    return ""


def partly_shared(name: str) -> Iterator[Call]:
    """Calls of an in-place or `out=` form whose written tensor shares all but one element with an input."""
    _, overload, variant = variants_served()[name]
    for sample in list(overload.samples(torch.float32))[:2]:
        arguments, keywords = list(sample.arguments), dict(sample.keywords)
        for k, x in enumerate(arguments):
            if not isinstance(x, torch.Tensor) or x.numel() < 4 or x.dtype != torch.float32:
                continue
            if k == 0 and variant.kind == "inplace":
                continue
            shape = arguments[0].shape if isinstance(arguments[0], torch.Tensor) else x.shape
            room = torch.ones(max(x.numel(), shape.numel()) + 1)
            shared = [y.clone() if isinstance(y, torch.Tensor) else y for y in arguments]
            shared[k] = room[: x.numel()].view(x.shape)
            target = room[1 : 1 + shape.numel()].view(shape)
            if variant.kind == "inplace":
                shared[0] = target
                yield partial(overload_of(name), *shared, **keywords)
            elif len(variant.out_names) == 1:
                yield partial(overload_of(name), *shared, **keywords, **{variant.out_names[0]: target})


POINTWISE = [
    n
    for n, (o, _, v) in variants_served().items()
    if v.kind != "functional"
    and o.domain in ("elementwise", "activation", "special", "scan", "indexing", "loss")
]


def test_what_pytorch_refuses_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls = [(name, call) for name in POINTWISE for call in partly_shared(name)]
        expected = [(name, call, refusal(call)) for name, call in calls]
        refused = [x for x in expected if x[2]]
        with anychip.using("strict"):
            assert [name for name, call, text in refused if refusal(call) != text] == []
    assert len(refused) > 200


def line() -> torch.Tensor:
    return torch.rand(64, generator=torch.Generator().manual_seed(0))


REFUSED: dict[str, Callable[[torch.Tensor], Any]] = {
    "copy_": lambda y: y[1:].copy_(y[:-1]),
    "turned": lambda y: y[:16].view(4, 4).add_(y[:16].view(4, 4).t()),
    "cat": lambda y: torch.cat([y[8:16], y[:8]], out=y[:16]),
    "cat of itself": lambda y: torch.cat([y], out=y),
    "gather from itself": lambda y: torch.gather(y, 0, torch.arange(len(y)).flip(0), out=y),
    "index_add_ of itself": lambda y: y.index_add_(0, torch.arange(len(y)), y),
    "sort": lambda y: torch.sort(y[:-1], out=(y[1:], torch.empty(len(y) - 1, dtype=torch.long))),
    "expanded add_": lambda y: y[:1].expand(4).add_(1),
    "expanded exp": lambda y: torch.exp(y[:4], out=y[8:9].expand(4)),
    "expanded clamp_": lambda y: y[:1].expand(4).clamp_(0.0, 1.0),
    "expanded copy_": lambda y: y[:1].expand(4).copy_(torch.ones(4)),
    "expanded cumsum": lambda y: torch.cumsum(y[:4], 0, out=y[8:9].expand(4)),
    "expanded uniform_": lambda y: y[:1].expand(4).uniform_(),
    "expanded scatter_": lambda y: y[:1].expand(4).scatter_(0, torch.arange(4), 2.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_pytorch_does(name: str) -> None:
    expected = refusal(lambda: REFUSED[name](line()))
    assert expected
    with anychip.using("strict"):
        assert refusal(lambda: REFUSED[name](line())) == expected


ALLOWED: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "in place": lambda y, x: torch.mul(y, x, out=y),
    "cumsum in place": lambda y, x: torch.cumsum(x, 0, out=y),
    "every other one": lambda y, x: y[::2].add_(x[1::2]),
    "interleaved": lambda y, x: torch.exp(x[:40:2], out=y[1:41:2]),
    "softmax of a part": lambda y, x: torch.softmax(x[:16].view(4, 4), 1, out=y[4:20].view(4, 4)),
    "sum into its input": lambda y, x: torch.sum(x[:16].view(4, 4), 1, out=y[1:5]),
    "product into a factor": lambda y, x: torch.mm(
        x[:16].view(4, 4), x[16:32].view(4, 4), out=y[:16].view(4, 4)
    ),
    "one number filled in several times": lambda y, x: y[:1].expand(4).fill_(2.0),
    "one number made zero several times": lambda y, x: y[:1].expand(4).zero_(),
    "triangle": lambda y, x: torch.tril(x[:16].view(4, 4), out=y[3:19].view(4, 4)),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_not_refused_is_what_comes_of_a_copy(name: str) -> None:
    shared, apart = line(), line()
    before = sum(launch_counts.values())
    with anychip.using("strict"):
        ALLOWED[name](shared, shared)
        ALLOWED[name](apart, apart.clone())
    assert sum(launch_counts.values()) > before
    torch.testing.assert_close(shared, apart, rtol=0, atol=0)

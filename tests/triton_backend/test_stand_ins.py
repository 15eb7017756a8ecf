"""What takes the place of a function of Triton's takes the same parameters, and leaves alone one that has
others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from triton.runtime import cache
from triton.runtime.autotuner import Autotuner
from triton.runtime.jit import JITFunction

from anychip.signatures import is_known, parameters
from anychip.triton_backend import autotuning, choosing, fingerprint, parsing

STAND_INS: list[tuple[Callable[[], Any], Any, str]] = [
    (choosing.install.__wrapped__, JITFunction, "_do_compile"),
    (autotuning._wrap, Autotuner, "prune_configs"),
    (autotuning._wrap, Autotuner, "_bench"),
    (fingerprint.install.__wrapped__, cache, "triton_key"),
    (parsing.install.__wrapped__, JITFunction, "parse"),
]


@pytest.mark.parametrize(("install", "owner", "name"), STAND_INS, ids=[name for _, _, name in STAND_INS])
def test_unknown_parameters_leave_the_stock_function(
    install: Callable[[], Any],
    owner: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(parsing, "is_affected", lambda version: True)

    def later(self: Any, *arguments: Any, state: Any = None) -> None:
        pass

    monkeypatch.setattr(owner, name, later)
    with caplog.at_level(logging.WARNING, "anychip.signatures"):
        install()
    assert getattr(owner, name) is later
    assert "later takes (self, *arguments, state)" in caplog.text


@pytest.mark.parametrize(("install", "owner", "name"), STAND_INS, ids=[name for _, _, name in STAND_INS])
def test_known_parameters_are_replaced(
    install: Callable[[], Any], owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "is_affected", lambda version: True)
    for _, other, each in STAND_INS:
        monkeypatch.setattr(other, each, getattr(other, each))
    stock = getattr(owner, name)
    install()
    assert getattr(owner, name) is not stock
    assert parameters(getattr(owner, name)) == parameters(stock)


def test_stars_are_told_apart() -> None:
    def function(first: int, *rest: int, **more: int) -> None:
        pass

    assert parameters(function) == ("first", "*rest", "**more")
    assert is_known(function, ("first",), ("first", "*rest", "**more"))
    assert not is_known(function, ("first", "rest", "more"))

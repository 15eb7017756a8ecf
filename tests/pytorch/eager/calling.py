"""Calls that native code serves: their sites, and recording one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from anychip.pytorch.eager import sites
from anychip.pytorch.policy import disabled

RECORDED_AFTER = 3


def site(name: str) -> sites.Site:
    """The site of an overload in this process: the newest, as tests that register another function in an
    overload's place leave theirs behind."""
    shared = sites.world()
    assert shared is not None
    return [each for each in shared.sites if each.name == name][-1]


def native_calls(name: str) -> int:
    """Calls of an overload that native code has served since it began anew."""
    return site(name).native_calls


def record(call: Callable[[], Any], name: str) -> None:
    """Call until native code serves the call."""
    for _ in range(RECORDED_AFTER):
        call()
    before = native_calls(name)
    call()
    assert native_calls(name) == before + 1


def own(call: Callable[[], Any]) -> Any:
    """What PyTorch's own kernels give."""
    with disabled():
        return call()


def agree(call: Callable[[], Any]) -> None:
    """The library's result is PyTorch's."""
    got = call()
    torch.testing.assert_close(got, own(call))

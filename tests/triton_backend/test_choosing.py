"""A kernel is compiled with what the tuning database, then the shipped defaults, hold for it; nothing else is
believed, and what is compiled already is not looked up again."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

from anychip.measurements import chip
from anychip.measurements.database import Database
from anychip.measurements.defaults import Defaults
from anychip.measurements.entry import SCHEDULE, Entry
from anychip.triton_backend import activate, choosing

CLASS = "x:*fp32 y:*fp32 n:i32 BLOCK=2^7"


@triton.jit
def double_kernel(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n) * 2, mask=i < n)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path))
    activate()
    double_kernel.device_caches.clear()
    choosing.forget()
    yield Database(chip.identify(torch.get_num_threads()).key)
    double_kernel.device_caches.clear()
    choosing.forget()


def compiled_with(**options: object) -> str:
    """The choices that a launch was compiled with, whose result is right."""
    x = torch.rand(1000)
    y = torch.empty_like(x)
    kernel = double_kernel[(8,)](x, y, 1000, BLOCK=128, **options)
    assert torch.equal(y, x * 2)
    return kernel.metadata.anychip_schedule


def entry(database: Database, **values: object) -> Entry:
    source = choosing.source(double_kernel)
    return Entry(SCHEDULE, "double_kernel", CLASS, source, database.chip, values)


def test_without_an_entry_the_rules_decide(database: Database) -> None:
    assert compiled_with() == ""


def test_an_entry_is_compiled_with_and_a_launch_may_say_otherwise(database: Database) -> None:
    database.put(entry(database, unroll=2, grain=4))
    assert compiled_with() == "unroll=2 grain=4"
    assert compiled_with(anychip_schedule="unroll=1") == "unroll=1"
    double_kernel.device_caches.clear()
    with choosing.by_rules():
        assert compiled_with() == ""


def test_what_is_compiled_is_not_looked_up_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled_with() == ""
    monkeypatch.setattr(choosing, "chosen", lambda *arguments: pytest.fail("looked up"))
    assert compiled_with() == ""


def test_options_of_other_back_ends_pass_as_they_are() -> None:
    """Triton gives the last arguments by position in a launch, by name where it loads what it compiled."""
    stock = inspect.signature(JITFunction._do_compile)
    wrapped = choosing._choosing(lambda *given, **named: stock.bind(*given, **named).args)
    arguments = (double_kernel, "key", {}, 0, {}, object(), {})
    assert wrapped(*arguments, warmup=True) == (*arguments, True)
    assert wrapped(*arguments, False) == (*arguments, False)


def test_entries_of_other_code_or_another_class_do_not_count(database: Database) -> None:
    right = entry(database, unroll=2)
    database.put(replace(right, source="changed"), replace(right, signature=CLASS.replace("fp32", "fp64")))
    assert compiled_with() == ""


def test_choices_that_do_not_exist_are_ignored(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database.put(entry(database, unroll=3))
    with caplog.at_level(logging.WARNING):
        assert compiled_with() == ""
    assert "unroll=3" in caplog.text


def test_shipped_schedules_come_after_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"double_kernel#{choosing.source(double_kernel)}"
    shipped = Defaults("level", schedules={name: {CLASS: {"unroll": 8}}})
    monkeypatch.setattr(choosing.defaults, "load", lambda level: shipped)
    assert compiled_with() == "unroll=8"
    double_kernel.device_caches.clear()
    choosing.forget()
    database.put(entry(database))
    assert compiled_with() == "", "an entry without choices: the rules were found best here"

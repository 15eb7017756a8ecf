"""Options of launches are those of a context: they reach no other thread and no other task, and what was
planned by some is not launched by others."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterator
from threading import Barrier, Thread

import pytest
import torch

from anychip.ops import eight_bits
from anychip.ops.eight_bits import EightBits
from anychip.ops.errors import ArgumentValueError
from anychip.ops.launching import (
    Plans,
    Tiles,
    has_vectors,
    launch_options,
    launching,
    planned_launches,
    set_for_process,
)
from anychip.ops.pointwise import TILES
from anychip.ops.registry import overloads

CPU = torch.device("cpu")
MADE = Tiles(simt={"block": 1}, simd={"block": 2})
PLANS: Plans[int] = Plans()


@pytest.fixture(autouse=True)
def options_of_process() -> Iterator[None]:
    """The options that the source has, in a process that may have been given others."""
    before = launch_options()
    set_for_process(tile_class="", tuned={})
    yield
    set_for_process(tile_class=before.tile_class, tuned=before.tuned)


def planned() -> int:
    """What an operator does: a block from the plan of the signature, which is made where there is none."""
    plan = PLANS.get("signature")
    return PLANS.remember("signature", MADE.on(CPU)["block"]) if plan is None else plan


def in_thread(function: Callable[[], int]) -> int:
    found: list[int] = []
    thread = Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_block_has_its_own_options_and_plans() -> None:
    assert planned() == 2
    with launching(tile_class="simt"):
        assert planned() == planned() == 1
        assert not has_vectors(CPU)
        with launching(eight_bits=EightBits(False, False)):
            assert planned() == 1, "the rest stays as it is outside"
            assert eight_bits.of_device(CPU) == EightBits(False, False)
        with launching(tile_class=""):
            assert planned() == 2
    assert planned() == 2
    assert has_vectors(CPU)
    assert eight_bits.of_device(CPU) == EightBits()


def test_what_raises_in_a_block_ends_its_options() -> None:
    with pytest.raises(KeyError), launching(tile_class="simt"):
        raise KeyError
    assert planned() == 2


def test_options_do_not_change() -> None:
    with launching(tile_class="simt") as chosen, pytest.raises(dataclasses.FrozenInstanceError):
        chosen.tile_class = "simd"  # type: ignore[misc]


def test_only_classes_of_tiles_are_taken() -> None:
    with pytest.raises(ArgumentValueError, match="'simd '"), launching(tile_class="simd "):
        pass
    with pytest.raises(TypeError, match="tiles"), launching(tiles="simt"):
        pass


def test_a_block_reaches_no_other_thread() -> None:
    """Two threads launch in turns by the same signature, one of them in a block; one that is started in the
    block launches by the process's options."""
    found: dict[str, list[int]] = {"block": [], "other": []}
    turn = Barrier(2, timeout=60)

    def in_block() -> None:
        with launching(tile_class="simt"):
            in_turns("block")

    def in_turns(name: str) -> None:
        for _ in range(3):
            turn.wait()
            found[name].append(planned())

    threads = [Thread(target=in_block), Thread(target=lambda: in_turns("other"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"block": [1, 1, 1], "other": [2, 2, 2]}
    with launching(tile_class="simt"):
        assert in_thread(planned) == 2


def test_a_copy_of_a_context_keeps_its_options_after_the_block() -> None:
    with launching(tile_class="simt"):
        inside = contextvars.copy_context()
    outside = contextvars.copy_context()
    assert (planned(), inside.run(planned), outside.run(planned)) == (2, 1, 2)
    assert in_thread(lambda: inside.run(planned)) == 1


def test_tasks_have_options_of_their_own() -> None:
    async def task(tile_class: str) -> list[int]:
        found = []
        with launching(tile_class=tile_class):
            for _ in range(3):
                found.append(planned())
                await asyncio.sleep(0)
        return found

    async def both() -> tuple[list[int], list[int]]:
        return await asyncio.gather(task("simt"), task("simd"))

    assert asyncio.run(both()) == [[1, 1, 1], [2, 2, 2]]


def test_options_of_the_process_are_those_of_every_thread() -> None:
    assert planned() == 2
    with launching(tile_class="simd"):
        set_for_process(tile_class="simt")
        assert planned() == 2, "a block keeps what it was opened with"
        assert in_thread(planned) == 1, "what was planned before is planned anew"
    assert planned() == 1


def test_plans_go_with_their_block() -> None:
    class Plan:
        pass

    plans: Plans[Plan] = Plans()
    with launching():
        kept = weakref.ref(plans.remember("signature", Plan()))
        assert plans.get("signature") is kept()
    gc.collect()
    assert kept() is None
    assert plans.get("signature") is None


def test_an_operator_launches_by_the_options_of_its_caller() -> None:
    x = torch.rand(5000)
    exp = overloads()["exp"][1].implementation
    sizes = {TILES: {("", -1): {**TILES.simd, "flat": 512}}}
    with planned_launches() as seen:
        expected = exp(x)
        with launching(tuned=sizes):
            assert torch.equal(exp(x), expected)
            thread = Thread(target=exp, args=(x,))
            thread.start()
            thread.join()
            assert torch.equal(exp(x), expected)
        exp(x)
    first, *others = (plan for plan, *_ in seen)
    assert first.grid != (10, 1, 1)
    assert [plan.grid for plan in others] == [(10, 1, 1), first.grid, (10, 1, 1), first.grid]
    assert others[0] is others[2], "planned once in the block"
    assert first is others[1] is others[3], "planned once outside"

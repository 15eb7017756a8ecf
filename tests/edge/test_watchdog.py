"""The watchdog of exported libraries: it stops at exactly the tick that it should, in many random sequences
of feeds and ticks. The oracle is a model in Python that gets the same sequences by the same generator of
numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import anychip
from anychip.compiler import targets
from anychip.edge.watchdog import ENTRY_POINTS
from anychip.emulation.cores import core_for
from anychip.emulation.execution import program_of, run
from anychip.emulation.linking import link

PROGRAM = """
#include "net.h"

#ifdef ANYCHIP_BARE_METAL
void board_write(const char *text);
#else
#include <stdio.h>
static void board_write(const char *text) { fputs(text, stdout); }
#endif

static uint32_t state = 12345u;
static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % below;
}

static void write_number(uint32_t number) {
    char digits[12];
    int place = 11;
    digits[place] = 0;
    digits[--place] = ' ';
    do digits[--place] = (char)('0' + number % 10);
    while (number /= 10);
    board_write(digits + place);
}

int main(void) {
    uint32_t sum = 0, stops = 0, refused = 0;
    net_watchdog dog;
    refused += net_watchdog_init(0, 3) == NET_NULL_ARGUMENT;
    refused += net_watchdog_init(&dog, 0) == NET_NULL_ARGUMENT;
    refused += net_watchdog_feed(0) == NET_NULL_ARGUMENT;
    refused += net_watchdog_reset(0) == NET_NULL_ARGUMENT;
    refused += net_watchdog_tick(0) == NET_WATCHDOG_STOP;
    for (uint32_t k = 0; k < SEQUENCES; k++) {
        net_watchdog_init(&dog, (int32_t)(1 + draw(6)));
        for (uint32_t steps = 4 + draw(16); steps; steps--) {
            uint32_t what = draw(8);
            if (what < 2) {
                net_watchdog_feed(&dog);
            } else if (what == 7 && draw(4) == 0) {
                net_watchdog_reset(&dog);
            } else {
                int said = net_watchdog_tick(&dog);
                sum = sum * 31u + (uint32_t)said;
                stops += said == NET_WATCHDOG_STOP;
            }
        }
    }
    write_number(refused);
    write_number(sum);
    write_number(stops);
    return 0;
}
"""


class Draws:
    """The generator of the program above."""

    def __init__(self) -> None:
        self.state = 12345

    def below(self, bound: int) -> int:
        self.state = (self.state * 1664525 + 1013904223) % (1 << 32)
        return (self.state >> 16) % bound


def expected(sequences: int) -> list[int]:
    """Sum and stops by the rule as the header states it: `history` are the ticks since the last reset, each
    with whether something was fed before it."""
    draws, total, stops = Draws(), 0, 0
    for _ in range(sequences):
        limit = 1 + draws.below(6)
        history: list[bool] = []
        fed = False
        for _ in range(4 + draws.below(16)):
            what = draws.below(8)
            if what < 2:
                fed = True
            elif what == 7 and draws.below(4) == 0:
                history, fed = [], False
            else:
                history.append(fed)
                fed = False
                said = by_the_rule(history, limit)
                total = (total * 31 + said) % (1 << 32)
                stops += said == 2
    return [5, total, stops]


def by_the_rule(history: list[bool], limit: int) -> int:
    if True not in history:
        return 0
    text = "".join("f" if fed else "." for fed in history).lstrip(".")
    return 2 if "." * limit in text else 1


def library(target: str, folder: Path) -> Path:
    program = anychip.capture(lambda x: x + x, torch.arange(8.0))
    program.export(target, folder, name="net", watchdog=True)
    return folder


def run_sequences(target: str, sequences: int, folder: Path) -> list[int]:
    pytest.importorskip("ziglang")
    core = core_for(targets.get(target))
    if program_of(core) is None:
        pytest.skip(f"what runs code for {target} is not installed")
    made = library(target, folder / "net")
    source = folder / "watchdog.c"
    source.write_text(f"#define SEQUENCES {sequences}u\n{PROGRAM}")
    link(core, [source, made / "libnet.a"], folder / "program", include=made)
    done = run(core, folder / "program", folder)
    assert done.status == 0, done.output
    return [int(word) for word in done.output.split()]


def test_it_stops_at_exactly_the_tick_that_it_should(tmp_path: Path) -> None:
    assert run_sequences("x86-64-v2", 3000, tmp_path) == expected(3000)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cortex-a53", "rv64gc", "cortex-m4", "cortex-m55"])
def test_it_does_so_on_chips(target: str, tmp_path: Path) -> None:
    assert run_sequences(target, 100_000, tmp_path) == expected(100_000)


def test_the_model_can_tell() -> None:
    assert [by_the_rule(history, 2) for history in ([], [False] * 9, [True], [True, False])] == [0, 0, 1, 1]
    assert by_the_rule([True, False, False], 2) == 2
    assert by_the_rule([True, False, False, True], 2) == 2  # feeding does not undo a stop


def test_a_library_has_it_when_asked(tmp_path: Path) -> None:
    made = library("cortex-m4", tmp_path / "with")
    text = (made / "net.h").read_text()
    assert all(f"int net_{name}(" in text for name in ENTRY_POINTS)
    assert "claims no functional safety" in " ".join(text.split())
    anychip.capture(lambda x: x + x, torch.arange(8.0)).export("cortex-m4", tmp_path / "without", name="net")
    assert "watchdog" not in (tmp_path / "without" / "net.h").read_text()
    assert b"net_watchdog_tick" not in (tmp_path / "without" / "net.o").read_bytes()
    assert b"net_watchdog_tick" in (made / "net.o").read_bytes()

"""What a profiler costs: processor time of MiniLM under `strict` with one open, over the time without.

    python -m tools.speed.profiled [--batches 2] [--rounds 9] [--no-frames]

Blocks of batches with and without a profiler take turns, in an order that is turned round each time, on
one thread, whose process's time is taken; starting and ending a profiler is outside, reading the events
too, as in a program they come once. Printed are the median of the ratios of neighbouring blocks and its
quartiles, and the ratio of the least times, which other programs on the machine disturb less."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import anychip
from anychip.demo import minilm
from anychip.profile.profiler import Profiler

SENTENCES = ("Where does the time of a program go?", "Most of it goes into a few products of matrices.") * 4


def times(
    work: Callable[[], object], batches: int, rounds: int, frames: bool
) -> tuple[dict[bool, list[float]], list[int]]:
    """Seconds of each block with and without a profiler; and events of each block that was profiled."""
    found: dict[bool, list[float]] = {False: [], True: []}
    events = []
    for number in range(rounds):
        for profiled in (False, True) if number % 2 else (True, False):
            profiler = Profiler(frames=frames) if profiled else None
            if profiler is not None:
                profiler.start()
            before = time.process_time()
            for _ in range(batches):
                work()
            found[profiled].append(time.process_time() - before)
            if profiler is not None:
                profiler.stop()
                events.append(len(profiler.events))
    return found, events


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-frames", action="store_true", help="without samples of Python's stacks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    embedder = minilm.load_embedder(torch.float32)
    (batch,) = minilm.tokenize(SENTENCES, len(SENTENCES))
    with anychip.using("strict"):
        for _ in range(4):
            embedder(batch)
        found, events = times(lambda: embedder(batch), given.batches, given.rounds, not given.no_frames)
    ratios = [profiled / plain for profiled, plain in zip(found[True], found[False])]
    low, middle, high = statistics.quantiles(ratios, n=4)
    least = min(found[True]) / min(found[False])
    print(
        f"with a profiler / without: {middle:.4f} ({low:.4f} to {high:.4f}), of the least times {least:.4f}"
    )
    print(f"{events[-1]} events a block, of {min(found[False]):.3f} s at least without")


if __name__ == "__main__":
    main()

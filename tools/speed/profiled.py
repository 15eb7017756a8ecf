"""What a profiler costs: processor time of MiniLM under `strict` with one open, over the time without.

    python -m tools.speed.profiled [--batches 1] [--rounds 61] [--no-frames]

In each round a block of batches without a profiler, one with it and one without follow each other, on one
thread, whose process's time is taken; starting and ending a profiler is outside, reading the events too, as
in a program they come once. A round's ratio is that of the middle block to the mean of its neighbours, so
that what drifts cancels. Printed are the median of the ratios with its 95 % bounds by the sign test, the same
of the blocks without a profiler among themselves, which is the noise, and the ratio of the least times."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import torch

import anychip
from anychip.demo import minilm
from anychip.profile.profiler import Profiler

SENTENCES = ("Where does the time of a program go?", "Most of it goes into a few products of matrices.") * 4


def times(
    work: Callable[[], object], batches: int, rounds: int, frames: bool
) -> tuple[list[tuple[float, float, float]], list[int]]:
    """Seconds of the three blocks of each round; and events of each block that was profiled."""
    found, events = [], []

    def block() -> float:
        before = time.process_time()
        for _ in range(batches):
            work()
        return time.process_time() - before

    for _ in range(rounds):
        first = block()
        with Profiler(frames=frames) as profiler:
            profiled = block()
        found.append((first, profiled, block()))
        events.append(len(profiler.events))
    return found, events


def bounds(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The lower bound, the median and the upper bound of 95 % confidence, by the sign test."""
    count = len(ratios)
    chances = [math.comb(count, k) / 2**count for k in range(count + 1)]
    outside = 0
    while sum(chances[: outside + 1]) < 0.025:
        outside += 1
    ordered = sorted(ratios)
    return ordered[max(outside - 1, 0)], statistics.median(ordered), ordered[count - max(outside, 1)]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=61)
    parser.add_argument("--no-frames", action="store_true", help="without samples of Python's stacks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    embedder = minilm.load_embedder(torch.float32)
    (batch,) = minilm.tokenize(SENTENCES, len(SENTENCES))
    with anychip.using("strict"):
        for _ in range(4):
            embedder(batch)
        found, events = times(lambda: embedder(batch), given.batches, given.rounds, not given.no_frames)
    for words, ratios in (
        ("with a profiler / without", [2 * profiled / (a + b) for a, profiled, b in found]),
        ("without / without", [b / a for a, _, b in found]),
    ):
        low, middle, high = bounds(ratios)
        print(f"{words}: {middle:.4f} ({low:.4f} to {high:.4f})")
    plain = min(min(a, b) for a, _, b in found)
    print(f"of the least times: {min(profiled for _, profiled, _ in found) / plain:.4f}")
    print(f"{given.rounds} rounds, {events[-1]} events a block, of {plain:.3f} s at least without")


if __name__ == "__main__":
    main()

"""The running softmax (Milakov and Gimelshein, arXiv:1805.02867): what has been seen of each row of scores is
its largest score, and the sum of exponentials of all, each less that. Flows in: tiles of scores, -inf where a
score does not count. Flows out: probabilities, still to be divided by the last sum, and how what was weighted
by earlier ones fades.

Scores are a tile [rows, columns] with AXIS 1, and largest and total have an element a row; or scores are one
row [columns] with AXIS 0, and largest and total are numbers."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def shift_of(largest):
    """What is taken off scores before they are exponentiated: the largest, or 0 where none counts."""
    return tl.where(largest == float("-inf"), 0.0, largest)


@triton.jit
def weigh(score, largest, total, AXIS):
    """One step: probabilities of a tile, the decay of what was, and the new largest and total."""
    update = tl.maximum(largest, tl.max(score, AXIS))
    shift = shift_of(update)
    if AXIS == 1:
        probability = tl.exp(score - shift[:, None])
    else:
        probability = tl.exp(score - shift)
    decay = tl.exp(largest - shift)
    return probability, decay, update, total * decay + tl.sum(probability, AXIS)


@triton.jit
def with_sink(sink, largest, total):
    """The state after one more score that has no value: the decay of what was, the new largest and total."""
    update = tl.maximum(largest, sink)
    decay = tl.exp(largest - update)
    return decay, update, total * decay + tl.exp(sink - update)


@triton.jit
def finished(result, largest, total, AXIS):
    """Weighted values, and the logarithm of the summed exponentials; 0 and -inf where no score counts."""
    nothing = total == 0.0
    safe = tl.where(nothing, 1.0, total)
    sums = tl.where(nothing, float("-inf"), largest + tl.log(safe))
    if AXIS == 1:
        return result / safe[:, None], sums
    else:
        return result / safe, sums

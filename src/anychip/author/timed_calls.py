"""The timed calls of a judgement. Flows in: a candidate that was found right, the reference's process. Flows
out: times, pair by pair, and checks of what was timed."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from . import expected, replaying, roof, timing
from .errors import JudgeError
from .judgement import Call, Fault, Judgement
from .processes.confined import Answer, Confined
from .verdict import Times
from .witnessed import Tried, right, same

UNDER_KERNELS = 0.5
"""Part of the time of its launches alone below which a candidate cannot be."""
UNDER_ROOF = 0.8
"""Part of the least time by the measured roofs below which a call cannot be: the roofs themselves are
measured, on a machine that may be busy meanwhile."""
WARM_CALLS = 2
ALONE_RUNS = 5


class Pair(NamedTuple):
    """The candidate's call and the reference's seconds for the same fresh inputs."""

    tried: Tried
    call: Call
    ours: float
    theirs: float


def timed(
    judgement: Judgement, candidate: Confined, witness: Confined, peer: Confined, tried: list[Tried]
) -> None:
    terms = judgement.terms
    large = [one for one in tried if one.shape.scale == terms.scale]
    for one in large:
        for _ in range(WARM_CALLS):
            _pair(judgement, candidate, peer, one)
    pairs = [_pair(judgement, candidate, peer, judgement.chance.choice(large)) for _ in range(terms.rounds)]
    for number in judgement.chance.sample(range(terms.rounds), min(terms.checked, terms.rounds)):
        call, shape, steps = pairs[number].call, pairs[number].tried.shape, pairs[number].tried.steps
        wanted = expected.forward(judgement.task, call.arguments, terms.dtype)
        right(judgement, "right when timed", call, wanted.fault(call.results))
        same(judgement, witness, shape, call, steps)
    answers = [_asked(peer, {"do": "nothing"}, terms.seconds) for _ in range(terms.rounds)]
    least = _roofs(judgement, pairs)
    alone = [answer for one in large for answer in _alone(judgement, witness, one)]
    _not_under_kernels(judgement, pairs, [answer.processor for answer in alone])
    ours, theirs = [pair.ours for pair in pairs], [pair.theirs for pair in pairs]
    speed, low, high = timing.ratio(ours, theirs)
    judgement.verdict.times = Times(
        terms.clock,
        statistics.median(ours),
        statistics.median(theirs),
        speed,
        low,
        high,
        terms.rounds,
        min(_seconds(judgement, answer) for answer in alone),
        statistics.median(_seconds(judgement, answer) for answer in answers),
        least,
    )
    if terms.at_least and low < terms.at_least:
        raise Fault("fast enough", f"the lower bound of the speed is {low:.2f}, not {terms.at_least:.2f}")
    if terms.at_least:
        judgement.passed("fast enough")


def _seconds(judgement: Judgement, answer: Answer) -> float:
    """The seconds of an answer by the terms' clock."""
    return answer.processor if judgement.terms.clock == "processor" else answer.seconds


def _pair(judgement: Judgement, candidate: Confined, peer: Confined, tried: Tried) -> Pair:
    """The candidate and the reference on the same fresh inputs, in an order drawn anew."""
    arguments, places = judgement.fresh(tried.shape)
    call, theirs = Call(arguments, judgement.place(candidate, tried.shape, arguments, places=places)), 0.0
    for is_ours in judgement.chance.sample((True, False), 2):
        if is_ours:
            judgement.made(candidate, call)
            judgement.taken(candidate, call, tried.kinds)
        else:
            placed = judgement.place(peer, tried.shape, arguments)
            message = {"do": "call", "arguments": placed.tree}
            theirs = _seconds(judgement, _asked(peer, message, judgement.terms.seconds))
    if judgement.steps(candidate, call).text != tried.steps.text:
        raise Fault("same launches", "a timed call launched something else", call.inputs)
    judgement.passed("same launches")
    ours = call.processor if judgement.terms.clock == "processor" else call.seconds
    return Pair(tried, call, ours, theirs)


def _asked(process: Confined, message: dict[str, object], seconds: float) -> Answer:
    answer = process.ask(message, seconds)
    if "error" in answer.message:
        raise JudgeError(f"the reference fails: {answer.message['error']}")
    return answer


def _not_under_kernels(judgement: Judgement, pairs: list[Pair], alone: list[float]) -> None:
    """No call has less of a processor than its launches alone, which are the least that it must do."""
    check, least, found = "not under its own kernels", min(alone), min(pair.call.processor for pair in pairs)
    if not least:
        judgement.not_made(check, "this kernel does not tell the processor time of others' threads")
    elif found < UNDER_KERNELS * least:
        detail = f"a call took {found:.3g} s of a processor, its launches alone take {least:.3g} s"
        raise Fault(check, detail)
    else:
        judgement.passed(check)


def _roofs(judgement: Judgement, pairs: list[Pair]) -> float:
    """The least seconds of any timed call by the machine's roofs. A call below is a fault."""
    check = "not under the roof"
    if judgement.terms.roofs is None:
        judgement.not_made(check, "the machine's roofs were not measured")
        return 0.0
    least = []
    for call in (pair.call for pair in pairs):
        seconds = roof.least(
            judgement.task, call.arguments, call.results, judgement.terms.dtype, judgement.terms.roofs
        )
        if call.seconds < UNDER_ROOF * seconds:
            detail = f"a call took {call.seconds:.3g} s, this machine needs {seconds:.3g} s"
            raise Fault(check, detail, call.inputs)
        least.append(seconds)
    judgement.passed(check)
    return statistics.median(least)


def _alone(judgement: Judgement, witness: Confined, tried: Tried) -> list[Answer]:
    """A shape's launches alone, several times."""
    placed = judgement.place(witness, tried.shape, judgement.drawn(tried.shape))
    replaying.prepare(witness, tried.steps, placed, judgement.terms.seconds)
    return [witness.ask({"do": "run"}, judgement.terms.seconds) for _ in range(ALONE_RUNS)]

"""A judgement, from its terms to its verdict. Flows in: a candidate's file and function, a task, a nursery.
Flows out: a verdict, which ends with the first check that fails.

A candidate is first tried on several shapes that it is not told; its launches are replayed by the witness;
then it is timed. What it says of itself is only ever a claim: results are compared, launches replayed, and
the clock is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from . import expected, replaying
from .arena import POISONS
from .errors import CandidateError, JudgeError
from .expected import Expected
from .judgement import Call, Fault, Judgement, Shape, Terms, kinds
from .processes.confined import Confined, Nursery
from .tasks import Task
from .tasks.task import VALUES
from .timed_calls import timed
from .verdict import Verdict
from .witnessed import Tried, right, run, same


def judge(nursery: Nursery, task: Task, path: Path, function: str, terms: Terms | None = None) -> Verdict:
    """Judge a function of a file. Raises CandidateError where there is no file, TaskError and JudgeError for
    what is not the candidate's fault."""
    if not path.is_file():
        raise CandidateError(f"there is no file {path}.")
    judgement = Judgement(nursery, task, path, function, terms or Terms())
    try:
        _judged(judgement)
    except Fault as fault:
        judgement.verdict.checks.append(fault.check)
    return judgement.verdict


def _judged(judgement: Judgement) -> None:
    candidate = judgement.start()
    with candidate, _witness(judgement) as witness:
        tried = [_tried(judgement, candidate, witness, shape) for shape in judgement.shapes]
        _all_values(judgement, witness, tried[1 % len(tried)])
        for one in {tried[0].shape: tried[0], tried[-1].shape: tried[-1]}.values():
            _replayed_otherwise(judgement, witness, one)
        _gradients(judgement, candidate, witness, tried[0])
        with _peer(judgement) as peer:
            timed(judgement, candidate, witness, peer, tried)


@contextmanager
def _witness(judgement: Judgement) -> Iterator[Confined]:
    with judgement.nursery.start(
        "witness", judgement.arena_bytes, threads=judgement.terms.threads
    ) as witness:
        yield witness


@contextmanager
def _peer(judgement: Judgement) -> Iterator[Confined]:
    threads, task = judgement.terms.threads, judgement.task.name
    with judgement.nursery.start("peer", judgement.arena_bytes, threads=threads) as peer:
        if task.endswith(".py"):
            copy = peer.workspace / "task.py"
            copy.write_text(judgement.task.source, encoding="utf-8")
            copy.chmod(0o644)
            task = str(copy)
        answer = peer.ask({"do": "load", "task": task}, judgement.terms.seconds).message
        if "error" in answer:
            raise JudgeError(f"the reference cannot be loaded: {answer['error']}")
        yield peer


# ---- trying -------------------------------------------------------------------------------------------


def _tried(judgement: Judgement, candidate: Confined, witness: Confined, shape: Shape) -> Tried:
    call, wanted = _called(judgement, candidate, shape, twin=False)
    steps = judgement.steps(candidate, call)
    judgement.verdict.kernels += [k for k in steps.launched if k not in judgement.verdict.kernels]
    right(judgement, "right", call, wanted.fault(call.results))
    same(judgement, witness, shape, call, steps)
    twin, wanted = _called(judgement, candidate, shape, twin=True)
    right(judgement, "right", twin, wanted.fault(twin.results))
    if judgement.steps(candidate, twin).text != steps.text:
        raise Fault("same launches", "a call like the one before launched something else", twin.inputs)
    # Inputs that the candidate never sees: what it did for the others must be right for these.
    hidden = judgement.drawn(shape)
    wanted = expected.forward(judgement.task, hidden, judgement.terms.dtype)
    call = Call(hidden, judgement.place(witness, shape, hidden, poison=POISONS[0]))
    results = run(judgement, witness, steps, call, "right on hidden inputs")
    right(judgement, "right on hidden inputs", call, wanted.fault(results))
    call = Call(hidden, judgement.place(witness, shape, hidden, poison=POISONS[1]))
    again = run(judgement, witness, steps, call, "same bits twice")
    if not all(replaying.same_bits(a, b) for a, b in zip(results, again, strict=True)):
        raise Fault("same bits twice", "the launches gave other bits when they were done again", call.inputs)
    judgement.passed("same bits twice")
    return Tried(shape, kinds(wanted), steps)


def _called(judgement: Judgement, candidate: Confined, shape: Shape, twin: bool) -> tuple[Call, Expected]:
    """A call of the candidate, and what it should give."""
    arguments, places = judgement.fresh(shape, twin)
    wanted = expected.forward(judgement.task, arguments, judgement.terms.dtype)
    return judgement.taken(
        candidate, judgement.call(candidate, shape, arguments, places), kinds(wanted)
    ), wanted


def _all_values(judgement: Judgement, witness: Confined, tried: Tried) -> None:
    """The launches are right for every kind of values."""
    check = "right on hidden inputs"
    for values in VALUES:
        arguments = judgement.drawn(tried.shape, values)
        wanted = expected.forward(judgement.task, arguments, judgement.terms.dtype)
        call = Call(arguments, judgement.place(witness, tried.shape, arguments))
        if (fault := wanted.fault(run(judgement, witness, tried.steps, call, check))) is not None:
            raise Fault(check, f"{values} values: {fault}", call.inputs)


def _replayed_otherwise(judgement: Judgement, witness: Confined, tried: Tried) -> None:
    """Under checks of every access, and for other instruction sets."""
    targets = replaying.other_targets() if judgement.terms.targets is None else judgement.terms.targets
    ways = [("within bounds", "host", True)]
    ways += [("right on another instruction set", target, False) for target in targets]
    arguments = judgement.drawn(tried.shape)
    wanted = expected.forward(judgement.task, arguments, judgement.terms.dtype)
    for check, target, checked in ways:
        call = Call(arguments, judgement.place(witness, tried.shape, arguments))
        results = run(judgement, witness, tried.steps, call, check, target, checked)
        fault = wanted.fault(results)
        if fault is not None:
            raise Fault(check, f"{target}: {fault}", call.inputs)
        judgement.passed(check, ", ".join(targets) if target != "host" else "")
    if not targets:
        judgement.not_made("right on another instruction set", "this machine runs no other")


def _gradients(judgement: Judgement, candidate: Confined, witness: Confined, tried: Tried) -> None:
    check, task = "right gradients", judgement.task
    arguments = judgement.drawn(tried.shape)
    if not task.differentiable:
        judgement.not_made(check, "none are asked for")
        return
    forward = expected.forward(task, arguments, judgement.terms.dtype)
    generator = torch.Generator().manual_seed(judgement.chance.getrandbits(60))
    weights = expected.weights_for(forward, generator)
    call = Call(arguments, judgement.place(candidate, tried.shape, arguments, weights))
    try:
        judgement.made(candidate, call)
    except Fault as fault:
        if "the result has no gradient" in fault.check.detail:
            judgement.not_made(check, "the candidate has none")
            return
        raise Fault(check, fault.check.detail, call.inputs) from None
    wanted = expected.backward(task, arguments, judgement.terms.dtype, weights)
    judgement.taken(candidate, call, kinds(wanted))
    steps = judgement.steps(candidate, call)
    if (fault := wanted.fault(call.results)) is not None:
        raise Fault(check, fault, call.inputs)
    placed = judgement.place(witness, tried.shape, arguments, weights)
    results = run(judgement, witness, steps, Call(arguments, placed), check)
    if not all(replaying.same_bits(a, b) for a, b in zip(results, call.results, strict=True)):
        raise Fault(check, "the launches alone do not give the gradients", call.inputs)
    judgement.passed(check)

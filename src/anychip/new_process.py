"""One call of a function in a process of its own, for what may end its process, or has to start from nothing.

Flows in: a function of a module and its arguments, which are pickled. Flows out: its result; what went wrong
there becomes a ProcessError here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import AdvisedError

Result = TypeVar("Result")


class ProcessError(AdvisedError):
    """A call in a process of its own raised, took too long, or ended its process."""


def in_new_process(
    what: str, seconds: float, function: Callable[..., Result], *arguments: Any, advice: str = ""
) -> Result:
    """`function(*arguments)` of a new process. Raises ProcessError where `what` takes more than `seconds`,
    ends with an exception, or ends its process, for which case there is `advice`."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_answer, args=(sender, function, arguments), daemon=True)
    worker.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise ProcessError(f"{what} took more than {seconds:g} s and was ended.")
        result, problem = receiver.recv()
    except EOFError:
        worker.join()
        raise ProcessError(f"{what} died with exit status {worker.exitcode}.", advice) from None
    finally:
        worker.kill()
        worker.join()
        receiver.close()
    if problem:
        raise ProcessError(f"{what} failed: {problem}")
    return result


def _answer(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Send the result and an empty text, or nothing and what went wrong."""
    try:
        result = function(*arguments)
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {error}"))
    else:
        sender.send((result, ""))

"""A call in a process of its own: its result, and every way in which it can go wrong."""

from __future__ import annotations

import math
import os
import time

import pytest

from anychip.new_process import ProcessError, in_new_process


def test_the_result_is_that_of_another_process() -> None:
    assert in_new_process("a square root", 60, math.sqrt, 9.0) == 3.0
    assert in_new_process("a number", 60, os.getpid) != os.getpid()


def test_an_exception_there_is_an_error_here() -> None:
    with pytest.raises(ProcessError, match="a square root failed: ValueError"):
        in_new_process("a square root", 60, math.sqrt, -1.0)


def test_a_process_that_ends_is_an_error_with_advice() -> None:
    with pytest.raises(ProcessError, match=r"exit status 3.*\n.*Do not exit"):
        in_new_process("an exit", 60, os._exit, 3, advice="Do not exit.")


def test_a_call_that_takes_too_long_is_ended() -> None:
    with pytest.raises(ProcessError, match=r"took more than 0\.5 s"):
        in_new_process("a long sleep", 0.5, time.sleep, 600)

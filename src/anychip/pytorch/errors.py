"""Errors of the PyTorch integration."""

from __future__ import annotations

from ..errors import AdvisedError, AnychipError


class FallThroughError(AnychipError):
    """Under the strict policy an operator has no portable kernel for the call."""

    def __init__(self, overload: str, reason: str):
        self.overload = overload
        self.reason = reason
        super().__init__(
            f"aten::{overload} has no portable kernel for this call: {reason}.\n"
            "  Run it with anychip.using('portable'), where PyTorch's own kernel serves it and "
            "anychip.report() counts it, or add an operator under anychip/ops."
        )


class MissingKernelError(AnychipError, NotImplementedError):
    """An operator does not serve the call, and PyTorch has no kernel of its own for the device."""

    def __init__(self, overload: str, key: str, reason: str):
        self.overload = overload
        self.reason = reason
        super().__init__(
            f"aten::{overload} has no portable kernel for this call: {reason}; and PyTorch has none of "
            f"its own for the dispatch key {key}.\n  Move the arguments to the CPU for this call."
        )


class PolicyError(AnychipError):
    """A policy was asked for that does not exist, or with operators that do not exist."""


class CaptureError(AnychipError):
    """A function cannot be recorded as a Program."""


class ProgramSourceError(AdvisedError):
    """What was named is no function, module, kernel, Program or saved model, or has no examples to capture
    with."""


class ProgramInputError(AnychipError, ValueError):
    """A Program was called with arguments other than those that it was recorded for."""

"""Errors of the operator library. `NotServed` travels to the dispatcher, which falls through or raises."""

from __future__ import annotations

import torch

from ..errors import AnychipError


class NotServed(AnychipError):
    """The operator exists, but not for these arguments. `reason` is counted by the report."""

    def __init__(self, operator: str, reason: str):
        self.operator = operator
        self.reason = reason
        super().__init__(
            f"{operator}: {reason}\n  Change the argument, or run this call with anychip.using('portable'), "
            "where PyTorch's own kernel serves it."
        )


TRANSFER = "a transfer between devices"
"""The reason of a refusal that is no fall-through: nothing is computed, only PyTorch can move memory between
devices, and no policy objects."""


class RegistryError(AnychipError):
    """A record of the registry contradicts another record or PyTorch's schemas."""


class ArgumentError(AnychipError, RuntimeError):
    """The arguments break the operator's own rules (shape, index, dtype), as they would in PyTorch."""


class UnsupportedDtype(ArgumentError, NotImplementedError):
    """PyTorch itself does not define the operator for this element type."""

    def __init__(self, operator: str, dtype: torch.dtype):
        super().__init__(f'"{operator}" not implemented for {dtype}; convert the argument first')


class ArgumentValueError(AnychipError, ValueError):
    """An argument's value is outside of what is allowed, where PyTorch raises a ValueError, too."""


class DimensionError(AnychipError, IndexError):
    """A dimension or an index lies outside of its range; PyTorch raises an IndexError there, too."""

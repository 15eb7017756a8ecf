"""Triton to a type checker: `@triton.jit` makes of a function something that is launched with other arguments
than it has, options of a back end among them, so that its own types are not those of a call."""

from typing import Any

def __getattr__(name: str) -> Any: ...

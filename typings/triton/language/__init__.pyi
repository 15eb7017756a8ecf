"""Triton's language to a type checker: bodies of kernels are this language in Python's syntax, and a
parameter that is annotated `tl.constexpr` takes numbers, types and functions."""

from typing import Any, TypeAlias

class constexpr(Any):
    def __init__(self, value: Any) -> None: ...

dtype: TypeAlias = Any
tensor: TypeAlias = Any

def __getattr__(name: str) -> Any: ...

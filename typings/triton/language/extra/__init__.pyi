"""Functions of the libraries beside Triton's language, which kernels call."""

from typing import Any

def __getattr__(name: str) -> Any: ...

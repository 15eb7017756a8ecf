"""The transformers library: its lazy tables of hundreds of models take a type checker half a minute to read."""

from typing import Any

def __getattr__(name: str) -> Any: ...

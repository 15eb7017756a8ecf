"""The transformers library to a type checker, which takes half a minute to read its tables of models."""

from typing import Any

def __getattr__(name: str) -> Any: ...

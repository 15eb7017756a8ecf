"""Anychip: one software layer between AI programs and any chip."""

from .errors import AnychipError

__version__ = "0.1.0"
__all__ = ["AnychipError", "__version__"]

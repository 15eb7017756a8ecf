"""`python -m anychip`: the same as the command `anychip`."""

from __future__ import annotations

from .cli import main

main()

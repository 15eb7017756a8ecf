"""`python -m tools.ecosystem`; see `run`."""

from .run import main

main()

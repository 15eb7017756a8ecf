"""`python -m tools.triton_suite`; see `run`."""

from .run import main

main()

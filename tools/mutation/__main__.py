"""`python -m tools.mutation`; see `run`."""

import sys

from .run import main

main(sys.argv[1:])

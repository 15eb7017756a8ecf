"""What binds a program to one vendor's chips: found in its files, rewritten where that is safe, and seen
while it runs. Flows in: paths and the chip to move to. Flows out: findings, fixed files, uses at run time.

This room stands alone: it imports nothing of Anychip's but errors, and the check for missing packages.
"""

from .errors import MigrateError
from .finding import Destination, Finding
from .scan import Scan, ScannedFile, scan
from .watch import Use, Watched, watching

__all__ = [
    "Destination",
    "Finding",
    "MigrateError",
    "Scan",
    "ScannedFile",
    "Use",
    "Watched",
    "scan",
    "watching",
]

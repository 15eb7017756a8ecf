"""The `anychip` command: one file a verb, or a folder where a verb has several, each a thin layer over
the rooms below.

Importing this package is cheap; the command's parser is built when `main` runs.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its status: 0 well, 1 refused or failed, 2 misused."""
    from .application import run

    run()

"""`anychip migrate --run`: a script under the room's watch. Flows in: the script with its arguments. Flows
out: its uses of CUDA that no finding is about."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import messages
from ..errors import CommandError

if TYPE_CHECKING:
    from ...migrate import Scan


def run_watched(command: str, found: Scan) -> list[dict[str, object]]:
    """Run a script as Python would, and list its uses, the most frequent first. An error of the script ends
    it and is shown. Raises CommandError for a script that does not exist."""
    from ...migrate import watching

    script, *arguments = shlex.split(command)
    if not Path(script).is_file():
        raise CommandError(f"--run {script}: there is no such script.")
    known = {(str(file.path.resolve()), each.line) for file in found.files for each in file.findings}
    before = sys.argv, sys.path[:]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    try:
        with watching(known) as seen:
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit:
                pass
            except Exception as error:  # whatever the script raises: its uses until then are the result
                messages.print(f"{script} ended with {type(error).__name__}: {error}", markup=False)
    finally:
        sys.argv, sys.path[:] = before
    return [
        {"file": use.file, "line": use.line, "what": use.what, "count": count}
        for use, count in seen.uses.most_common()
    ]

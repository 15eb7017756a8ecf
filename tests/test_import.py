"""`import anychip` takes a few milliseconds: it imports next to nothing."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
before = set(sys.modules)
import anychip
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
print(*{name for name in sys.modules if name.startswith("anychip.")})
"""


def test_import_anychip_imports_next_to_nothing() -> None:
    """A process without `site` has the modules that Python itself needs, and no more."""
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{CODE}"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    packages, ours = done.stdout.splitlines()
    assert set(packages.split()) <= {"__future__", "anychip", "importlib", "warnings"}
    assert ours == "anychip.errors"

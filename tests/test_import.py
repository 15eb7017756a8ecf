"""`import anychip` takes a few milliseconds: it imports next to nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import anychip

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


@pytest.mark.parametrize("room", sorted(anychip._ROOMS))
def test_rooms_with_names_for_users_are_attributes(room: str) -> None:
    code = f"import anychip\nprint(anychip.{room}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"anychip.{room}\n"
    assert room in dir(anychip)


def test_no_function_has_the_name_of_a_room() -> None:
    """The import of a room puts it in the place of what had its name."""
    assert anychip._FROM_PYTORCH
    for name in anychip._FROM_PYTORCH:
        assert find_spec(f"anychip.{name}") is None, name

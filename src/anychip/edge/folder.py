"""A folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import ExportError

REPORT = "report.json"


def require_free(directory: Path) -> None:
    """Raise ExportError unless `directory` does not exist, is empty, or holds an earlier export."""
    if directory.exists() and not directory.is_dir():
        raise ExportError(f"{directory} is a file\n  Name a folder.")
    if directory.is_dir() and any(directory.iterdir()) and not _is_export(directory):
        raise ExportError(
            f"{directory} holds files that no export wrote\n  Name a new folder, or empty this one."
        )


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make `directory` with these files, in place of an earlier export."""
    require_free(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise ExportError(
            f"{directory} cannot be made: {error}\n  Name a folder that can be written."
        ) from error
    try:
        for name, content in files.items():
            (made / name).write_bytes(content)
        made.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(made, directory)
    except OSError as error:
        raise ExportError(f"{directory} cannot be written: {error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _is_export(directory: Path) -> bool:
    try:
        return "launches" in json.loads((directory / REPORT).read_text())
    except (OSError, ValueError, TypeError):
        return False

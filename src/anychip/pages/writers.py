"""What makes each page of its record. Flows in: the page as it stands, of which some writers keep the text
around their tables. Flows out: the page as the records of this repository give it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .errors import PageError

ROOT = Path(__file__).parents[3]
"""The repository that these sources are in, if they are in one."""

Writer = Callable[[str], str]


def require_repository() -> None:
    """Raise PageError where these sources are in no repository."""
    if not (ROOT / "pyproject.toml").is_file():
        raise PageError(
            "pages are written in a checkout of Anychip's repository, and this is an installed package.",
            "Install the checkout: pip install -e .",
        )


def operators(text: str) -> str:
    """docs/operators.md, of the registry and evidence/operators/."""
    from ..evidence import page, record

    return page.page(record.read_all())


def fused_operators(room: str) -> Writer:
    """docs/<room>.md, of the room's registry and evidence/fused/<room>/."""

    def write(text: str) -> str:
        from ..evidence import fused_page, fused_record
        from ..ops.rooms import ROOMS

        return fused_page.page(ROOMS[room], fused_record.read_all(ROOMS[room]))

    return write


def chips(text: str) -> str:
    """docs/chips.md, of the chip files and evidence/chips/."""
    from ..chips import evidence, page

    return page.page(list(evidence.records()))


def operator_speed(text: str) -> str:
    """docs/operator-speed.md, of the newest record in evidence/speed/."""
    from ..bench import speed_page, speed_record

    return speed_page.page(*speed_record.load(newest("evidence/speed")))


def domains() -> list[str]:
    """The domains of the library's operators: its folders, but for those that hold no operators."""
    folder = Path(__file__).parents[1] / "ops"
    others = ("kernels", "launching")
    return sorted(each.parent.name for each in folder.glob("*/__init__.py") if each.parent.name not in others)


def speed_of(domain: str) -> Writer:
    """docs/operator-speed/DOMAIN.md, of the newest record in evidence/speed/."""

    def write(text: str) -> str:
        from ..bench import speed_page, speed_record

        return speed_page.domain_page(domain, *speed_record.load(newest("evidence/speed")))

    return write


def serving(text: str) -> str:
    """docs/serving.md with its table of rates, of evidence/serve/rates.json."""
    from ..bench import page
    from ..bench.serving import record

    return page.replaced(text, {"serving": record.text(record.load(ROOT / "evidence/serve/rates.json"))})


def tuning(text: str) -> str:
    """docs/tuning.md: its tables, of the newest record in evidence/tuning/ and the shipped defaults."""
    from ..bench.page import replaced
    from ..tune import gain, gain_page

    return replaced(text, gain_page.sections(*gain.load(newest("evidence/tuning"))))


def migration(text: str) -> str:
    """docs/migration.md: its table, of the rules."""
    from ..migrate.page import written

    return written(text)


def of_tool(module: str) -> Writer:
    """The function `written` of a module of `tools/`, which is beside the library and no part of it."""

    def write(text: str) -> str:
        sys.path.insert(0, str(ROOT))
        try:
            return import_module(module).written(text)
        finally:
            sys.path.remove(str(ROOT))

    return write


def newest(folder: str) -> Path:
    """The record of a folder that was made last, by its own date. Raises PageError for an empty folder."""
    files = sorted((ROOT / folder).glob("*.json"))
    if not files:
        raise PageError(f"{folder} holds no record.")
    return max(files, key=lambda file: json.loads(file.read_text(encoding="utf-8"))["circumstances"]["date"])

"""The table of generated pages. Flows in: nothing. Flows out: which files are pages, of which records they
are made, by what, and which are not what their records give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..ops.rooms import ROOMS
from . import writers
from .errors import PageError
from .writers import ROOT, Writer, of_tool


@dataclass(frozen=True, slots=True)
class Page:
    """A page, or the tables in one. `records` are what it is written from, relative to the repository, and
    `command` makes these; a page without a `writer` is measured anew whenever it is written, by `command`."""

    name: str
    file: str
    records: str
    command: str
    writer: Writer | None

    def path(self, root: Path = ROOT) -> Path:
        """Where the page is."""
        return root / self.file

    def written(self, text: str) -> str:
        """The page as its records give it; `text` is the page as it stands. Raises PageError for a page that
        has no records."""
        if self.writer is None:
            raise PageError(f"{self.file} is measured whenever it is written.", f"Write it: {self.command}")
        return self.writer(text)


PAGES = (
    Page("operators", "docs/operators.md", "evidence/operators/", "make test-ops", writers.operators),
    *(
        Page(
            room,
            f"docs/{room}.md",
            f"evidence/fused/{room}/",
            f"anychip test --domain {room} --record",
            writers.fused_operators(room),
        )
        for room in ROOMS
    ),
    Page("chips", "docs/chips.md", "evidence/chips/", "anychip conform --chip CHIP", writers.chips),
    Page(
        "operator-speed",
        "docs/operator-speed.md",
        "evidence/speed/",
        "anychip bench ops --record",
        writers.operator_speed,
    ),
    *(
        Page(
            f"operator-speed/{domain}",
            f"docs/operator-speed/{domain}.md",
            "evidence/speed/",
            "anychip bench ops --record",
            writers.speed_of(domain),
        )
        for domain in writers.domains()
    ),
    Page(
        "serving",
        "docs/serving.md",
        "evidence/serve/rates.json",
        "anychip bench serve MODEL --peer llama.cpp --record evidence/serve/rates.json",
        writers.serving,
    ),
    Page("tuning", "docs/tuning.md", "evidence/tuning/", "anychip tune gain --record FILE", writers.tuning),
    Page(
        "cluster",
        "docs/cluster.md",
        "evidence/cluster/",
        "python -m tools.cluster.collectives record",
        of_tool("tools.cluster.page"),
    ),
    Page(
        "link",
        "docs/link.md",
        "evidence/link.json",
        "python -m tools.link.record",
        of_tool("tools.link.page"),
    ),
    Page(
        "training",
        "docs/training.md",
        "evidence/training/",
        "python -m tools.training.parity run",
        of_tool("tools.training.page"),
    ),
    Page(
        "ecosystem",
        "docs/ecosystem.md",
        "evidence/ecosystem/",
        "python -m tools.ecosystem SUITE TREE",
        of_tool("tools.ecosystem.run"),
    ),
    Page(
        "edge",
        "docs/edge.md",
        "evidence/edge.json",
        "python -m tools.pages.edge",
        of_tool("tools.pages.edge"),
    ),
    Page(
        "mutation",
        "docs/mutation.md",
        "evidence/mutation.json",
        "make mutation",
        of_tool("tools.mutation.run"),
    ),
    Page(
        "counts",
        "docs/counts.md",
        "evidence/counts.json",
        "make counts RECORD=1",
        of_tool("tools.speed.counts"),
    ),
    Page(
        "versions",
        "README.md",
        "evidence/versions.json",
        "make test-versions",
        of_tool("tools.installation.versions"),
    ),
    Page(
        "special-functions",
        "docs/special-functions.md",
        "evidence/special-functions.json",
        "python -m tools.mathematics.special_functions",
        of_tool("tools.mathematics.special_functions"),
    ),
    Page(
        "robot-peers",
        "docs/robot-peers.md",
        "evidence/robot-peers.json",
        "python -m tools.robot.peers --record",
        of_tool("tools.robot.record"),
    ),
    Page("command", "docs/command.md", "src/anychip/cli/", "none", of_tool("tools.pages.command")),
    Page(
        "fused-reference",
        "docs/reference/llm.md",
        "src/anychip/llm/",
        "none",
        of_tool("tools.pages.fused_reference"),
    ),
    Page(
        "migration", "docs/migration.md", "src/anychip/migrate/rules/", "a row of a rule", writers.migration
    ),
    Page("triton-tests", "docs/triton-tests.md", "", "make triton-tests TREE=FOLDER", None),
    Page("performance", "docs/performance.md", "", "anychip bench page docs/performance.md", None),
)
"""Every generated page, and every page with generated tables."""


def stale(pages: Iterable[Page], root: Path = ROOT) -> list[Page]:
    """Those of the pages that are not what their records give; pages without records are left out."""
    found = []
    for page in pages:
        if page.writer is None:
            continue
        path = page.path(root)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if page.written(text) != text:
            found.append(page)
    return found


def write(page: Page, root: Path = ROOT) -> None:
    """Write a page as its records give it."""
    path = page.path(root)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.write_text(page.written(text), encoding="utf-8")

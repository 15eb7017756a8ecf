"""What the documentation mentions exists: files, folders, modules, targets of make, verbs and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = {"dist/gpu/", "docs/counts.md", "evidence/counts.json", "evidence/gpu/", "report.json"}
"""Files that commands write, which need not be there."""
ELSEWHERE = {"ecosystem.md", "mutation.md", "triton-tests.md"}
"""Pages of records, whose files are other projects', or those of an earlier commit."""
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
BELOW = ("", "src/anychip/", "src/anychip/compiler/", "examples/", "docs/")
"""Where a file that is mentioned may lie."""
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def made(page: Path) -> set[str]:
    """Files that the page itself tells to write."""
    return set(re.findall(r"`([\w./-]+)`:$", page.read_text(encoding="utf-8"), flags=re.MULTILINE))


@cache
def names() -> frozenset[str]:
    """Every file name of the sources, with the folder that it is in."""
    files = [
        path for part in ("src", "tests", "tools", "examples", "docs") for path in (ROOT / part).rglob("*.*")
    ]
    return frozenset(path.name for path in files)


def missing_files(page: Path) -> Iterator[str]:
    """Paths between backticks that are nowhere."""
    if page.name in ELSEWHERE:
        return
    written = made(page) | WRITTEN
    for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|toml|txt|c|mjs|json)|/))`", prose(page)):
        here = [page.parent / path, *(ROOT / below / path for below in BELOW)]
        alone = "/" not in path and path in names()
        if path not in written and not alone and not any(each.exists() for each in here):
            yield path


def missing_modules(page: Path) -> Iterator[str]:
    """Dotted names of `anychip` and `tools` between backticks whose modules are not there."""
    for name in re.findall(r"`(?:python -m )?((?:anychip|tools)(?:\.\w+)+)[^`]*`", prose(page)):
        parts = name.split(".")
        folder = ROOT / "src" if parts[0] == "anychip" else ROOT
        known = folder / parts[0]
        for part in parts[1:]:
            if (known / part).is_dir():
                known = known / part
            elif (known / f"{part}.py").is_file():
                break
            else:
                text = (known / "__init__.py").read_text(encoding="utf-8")
                if not re.search(rf"\b{part}\b", text) and known != ROOT / "src" / "anychip" / "llm":
                    yield name
                break


def missing_targets(page: Path) -> Iterator[str]:
    """Targets of make that the Makefile has not."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z][\w-]*)", page.read_text(encoding="utf-8")):
        patterns = (target, re.sub(r"-[\d.]+$", "-%", target))
        if not any(re.search(rf"^{re.escape(each)}:", makefile, flags=re.MULTILINE) for each in patterns):
            yield f"make {target}"


def missing_verbs(page: Path) -> Iterator[str]:
    """Verbs of the command that are not in its reference."""
    reference = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    added = {"makers"}  # by a walk-through
    for verb in re.findall(
        r"(?:`|^\$ )anychip ([a-z]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE
    ):
        if f"\n## anychip {verb}\n" not in reference and verb not in added:
            yield f"anychip {verb}"


def missing_links(page: Path) -> Iterator[str]:
    """Links to files that are not there, or to headings that they have not."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (heading and heading not in headings(linked)):
            yield target


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_mentions_exists(page: Path) -> None:
    kinds = (missing_files, missing_modules, missing_targets, missing_verbs, missing_links)
    assert {kind.__name__: sorted(set(kind(page))) for kind in kinds if list(kind(page))} == {}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`runtime/launch.py`, `runtime/lunch.py`, `anychip.runtime.lunch`, `anychip.runtime.launch`, "
        "`make tests`, `anychip exlpain`, [there](nowhere.md), [here](#there)\n```\n`not/this.py`\n```\n"
    )
    assert list(missing_files(page)) == ["runtime/lunch.py"]
    assert list(missing_modules(page)) == ["anychip.runtime.lunch"]
    assert list(missing_targets(page)) == ["make tests"]
    assert list(missing_verbs(page)) == ["anychip exlpain"]
    assert list(missing_links(page)) == ["nowhere.md", "#there"]

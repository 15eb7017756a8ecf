"""The glossary of docs/architecture.md names classes that exist once, and the page names files that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "anychip"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WORDS = PAGE.partition("## Words\n")[2].partition("\n## ")[0]


def classes() -> Counter[str]:
    """How many classes of each name the library has at the top of its modules."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES.rglob("*.py")]
    return Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))


def test_each_class_of_the_glossary_exists_once() -> None:
    named = set(re.findall(r"`([A-Z]\w*[a-z]\w*)`", WORDS))
    assert {"PackedOnce", "InPlaceOperand", "PerElement", "Buffer"} <= named
    known = classes()
    assert {name: known[name] for name in named} == dict.fromkeys(named, 1)


def test_no_word_of_the_glossary_is_explained_twice() -> None:
    words = re.findall(r"^\| ([^|]+) \|", WORDS, flags=re.MULTILINE)[2:]
    assert len(words) > 40
    assert [word for word, count in Counter(words).items() if count > 1] == []


def test_words_that_had_several_meanings_have_one() -> None:
    known = classes()
    assert {name: known[name] for name in ("Plan", "Subject", "Buffer", "Ledger", "Program")} == {
        "Plan": 1, "Subject": 0, "Buffer": 1, "Ledger": 0, "Program": 1,
    }  # fmt: skip


def test_each_file_of_the_page_exists() -> None:
    below = ("", "src/anychip/", "src/anychip/compiler/")
    named = set(re.findall(r"`(\w+/[\w/]*(?:\.py|/))`", PAGE))
    assert len(named) > 80
    assert [name for name in sorted(named) if not any((ROOT / part / name).exists() for part in below)] == []

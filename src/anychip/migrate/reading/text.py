"""What the rules recognise in files that are not Python: CUDA C++, and lists of requirements. Flows in: a
source. Flows out: matches in the order of the file."""

from __future__ import annotations

import re
from fnmatch import fnmatch

from .match import Match
from .source import SourceText
from .tables import TABLES

REQUIREMENT_FILES = (
    "*requirements*.txt",
    "*constraints*.txt",
    "requirements/*.txt",
    "*.in",
    "pyproject.toml",
    "setup.cfg",
    "Pipfile",
    "environment*.yml",
    "environment*.yaml",
)
"""Files that name distributions, as patterns for a name or the last folder and a name."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_LISTED = re.compile(rf"^\s*(?:-\s+)?({_NAME})\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@].*)?$")
"""A requirement on a line of its own, or as an item of YAML."""
_QUOTED = re.compile(rf"""["']({_NAME})\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@][^"']*)?["']""")
_KEY = re.compile(rf"""^\s*["']?({_NAME})["']?\s*=\s*["'{{]""")
"""A requirement as a key, as Poetry and Pipfile have it."""
_SECTION = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
_KEYED = re.compile(r"dependencies|packages", re.IGNORECASE)


def is_requirements(path: str) -> bool:
    """Whether a file, by its path with forward slashes, names distributions."""
    name = path.rpartition("/")[2]
    last_two = "/".join(path.split("/")[-2:])
    return any(fnmatch(name, each) or fnmatch(last_two, each) for each in REQUIREMENT_FILES)


def read_cuda(source: SourceText) -> list[Match]:
    """A file of CUDA C++: itself, and the inline PTX in it."""
    rule = TABLES.suffixes["." + source.file.rpartition(".")[2]]
    matches = [Match(rule, (1, 0), source.file.rpartition("/")[2])]
    for number in range(1, len(source.lines) + 1):
        text = source.line(number).partition("//")[0]
        for pattern, of_line in TABLES.lines:
            if of_line.need is rule.need and (hit := pattern.search(text)):
                matches.append(Match(of_line, (number, hit.start()), "inline assembly"))
    return matches


def read_requirements(source: SourceText) -> list[Match]:
    """A list of requirements, or a file of settings that has one."""
    matches = []
    is_settings = source.file.endswith((".toml", "Pipfile"))
    section = ""
    for number in range(1, len(source.lines) + 1):
        text = re.sub(r"(^|\s)#.*", "", source.line(number))
        if heading := _SECTION.match(text):
            section = heading[1]
        hits = list(_QUOTED.finditer(text))
        if is_settings:
            if _KEYED.search(section) and (key := _KEY.match(text)):
                hits = [key]
        elif listed := _LISTED.match(text):
            hits = [listed]
        for hit in hits:
            rule = TABLES.by_requirement(hit[1])
            if rule is not None:
                matches.append(Match(rule, (number, hit.start(1)), hit[1]))
        for pattern, rule in TABLES.lines:
            if rule.requirements and (hit := pattern.search(text)):
                matches.append(Match(rule, (number, hit.start()), hit[0].strip("/")))
    return sorted(matches, key=lambda match: match.at)

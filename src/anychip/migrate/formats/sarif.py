"""Findings as SARIF 2.1.0, the format of the OASIS standard that code hosts show beside changes.

Flows in: findings. Flows out: plain data. What `# noqa` or a baseline suppresses is left out, since many
readers of the format count suppressed results like others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from ..finding import Finding
from ..rules import RULES

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def log(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """A log of one run. `version` is Anychip's."""
    listed = list(findings)
    codes = sorted({each.code for each in listed})
    indices = {code: index for index, code in enumerate(codes)}
    driver = {
        "name": "anychip migrate",
        "version": version,
        "semanticVersion": version,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, indices[each.code]) for each in listed],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": rule.message.format(found="this")},
        "help": {"text": rule.advice},
        "properties": {"needs": rule.need.value},
    }


def _result(each: Finding, index: int) -> dict[str, Any]:
    region = {"startLine": each.line, "startColumn": each.column}
    place = {"artifactLocation": {"uri": quote(each.file)}, "region": region}
    return {
        "ruleId": each.code,
        "ruleIndex": index,
        "level": "error" if each.code == "AC001" else "warning",
        "message": {"text": f"{each.message}. {each.fix}"},
        "locations": [{"physicalLocation": place}],
    }

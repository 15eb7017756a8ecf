"""A maker's badge and page say what the record says, and no more."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from anychip.chips import UnknownChip, evidence, of_package
from anychip.conformance.certificate import FAILED, badge, page, summary

RECORD: dict[str, Any] = next(record for record in evidence.records() if record["chip"] == "cortex-a76")


def test_the_badge_is_an_image_with_words() -> None:
    root = ElementTree.fromstring(badge(RECORD))
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["Anychip", "emulated 340 of 340 operators"]
    width = float(root.attrib["width"])
    boxes = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert sum(float(box.attrib["width"]) for box in boxes) == width


def test_nothing_is_rounded_up() -> None:
    some = {**RECORD, "operators": {"passed": 3, "tried": 4, "total": 340}}
    assert summary(some) == "emulated 3 of 340 operators (4 tried)"
    only = {
        **RECORD,
        "tier": "compiled",
        "operators": {"passed": 0, "tried": 0, "total": 340},
        "kernels": {"compiled": 8, "tried": 9, "errors": ["add: no such instruction"]},
    }
    assert summary(only) == "compiled 8 of 9 kernels"
    assert FAILED in badge(only)
    assert FAILED not in badge(RECORD)
    assert "add: no such instruction" in page([only], "anychip conform")


def test_the_page_names_failures_and_what_was_not_tried() -> None:
    failure = {"operator": "add", "dtype": "float32", "inputs": "(2, 3)", "reason": "off by | one"}
    made = page(
        [{**RECORD, "failures": [failure], "operators": {"passed": 3, "tried": 4, "total": 340}}], "anychip x"
    )
    assert "| add | float32 | (2, 3) | off by \\| one |" in made
    assert "336 operators were not tried." in made
    assert "Made by `anychip x`." in made
    assert "Nothing failed." in page([RECORD], "anychip x")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UnknownChip, match="no-such-maker"):
        of_package("no-such-maker")

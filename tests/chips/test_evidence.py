"""What the records say of chips: the best tier, never a better one than was shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anychip import chips
from anychip.chips import evidence
from anychip.chips.page import page


def record(chip: str, target: str, tier: str, passed: int = 5) -> dict[str, Any]:
    return {
        "chip": chip,
        "target": target,
        "tier": tier,
        "operators": {"passed": passed, "tried": 6, "total": 9},
        "emulator": "",
    }


PI = "broadcom-bcm2712"
ROCK = "rockchip-rk3588"


@pytest.mark.parametrize(
    ("records", "identifier", "expected"),
    [
        ([], PI, "none"),
        ([], "huawei-ascend-910b", "plugin"),
        ([record("cortex-a76", "cortex-a76", "emulated")], PI, "emulated 5 of 6 tried"),
        ([record(PI, "cortex-a76", "native")], PI, "native 5 of 6 tried"),
        ([record(PI, "cortex-a76", "native")], ROCK, "compiled 5 of 6 tried"),
        ([record("a", "cortex-a55", "emulated")], ROCK, "emulated 5 of 6 tried (Cortex-A55)"),
        (
            [record("a", "cortex-a76", "compiled", 3), record("b", "cortex-a55", "emulated")],
            ROCK,
            "compiled 3 of 6 tried",
        ),
        (
            [record("a", "cortex-a76", "compiled"), record("b", "cortex-a76", "emulated")],
            ROCK,
            "emulated 5 of 6 tried",
        ),
        (
            [record("a", "cortex-a76", "emulated", 3), record("b", "cortex-a76", "emulated", 4)],
            PI,
            "emulated 4 of 6 tried",
        ),
        ([record("a", "cortex-a53", "emulated")], PI, "none"),
        (
            [
                record("a", "cortex-a76", "emulated")
                | {"scalar_form": {"target": "aarch64", "operators": ["x"]}}
            ],
            PI,
            "emulated 5 of 6 tried (1 in part as aarch64)",
        ),
    ],
)
def test_standing(records: list[dict[str, Any]], identifier: str, expected: str) -> None:
    assert evidence.standing(chips.get(identifier), records).text == expected


def test_records_that_cannot_be_read_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.json").write_text(json.dumps(record("a", "cortex-a53", "emulated")))
    (tmp_path / "torn.json").write_text('{"chip": ')
    (tmp_path / "other.json").write_text('{"chip": "a"}')
    assert [r["chip"] for r in evidence.records((tmp_path,))] == ["a"]
    assert "torn.json" in caplog.text
    assert "other.json" in caplog.text


def test_the_page_lists_every_chip_once() -> None:
    text = page([record("cortex-a76", "cortex-a76", "emulated")])
    for chip in chips.all():
        assert text.count(f"(`{chip.identifier}`)") == 1
    assert f"{len(chips.all())} chips of {len(chips.manufacturers())} makers" in text
    assert "emulated 5 of 6 tried" in text

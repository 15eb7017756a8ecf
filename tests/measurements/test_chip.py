"""Whose measurements are whose: processors, threads and instruction sets are told apart; shipped defaults."""

from __future__ import annotations

import json
import logging
from importlib import resources
from pathlib import Path

import pytest

from anychip.compiler.targets.host import host
from anychip.measurements import chip, crowd, defaults
from anychip.measurements.defaults import MEASURED, Defaults


def test_threads_and_features_make_other_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    two = chip.identify(2)
    assert two.key != chip.identify(1).key
    assert two == chip.identify(2)
    if host().isa == "x86_64" and host().vector_bits > 128:
        before = chip.level()
        monkeypatch.setenv("ANYCHIP_TARGET_FEATURES", "-avx2")
        assert chip.identify(2).key != two.key
        assert chip.level() == "" != before


def test_levels_are_told_by_features(monkeypatch: pytest.MonkeyPatch) -> None:
    if host().isa != "x86_64" or host().vector_bits < 512:
        pytest.skip("the machine has no AVX-512")
    assert chip.level() == "x86-64-v4"
    monkeypatch.setenv("ANYCHIP_TARGET_FEATURES", "-avx512f")
    assert chip.level() == "x86-64-v3"


def test_a_key_is_fit_for_a_file_name() -> None:
    assert chip.ChipIdentity("A/B (R) 3 GHz", "12ab", 4).key == "a-b-r-3-ghz-12ab-t4"


def test_runnable_threads_are_read() -> None:
    assert crowd.runnable(b"0.20 0.18 0.12 13/80 11206\n") == 13
    assert crowd.crowded() in (True, False)


def test_defaults_only_ever_rule_out() -> None:
    known = Defaults(
        "level", "machine", {"exp": {"float32": {10: 0.5, 20: 0.8}}, "sin": {"float32": {20: 2.0}}}
    )
    assert known.hopeless("exp")
    assert not known.hopeless("sin")
    assert not known.hopeless("log")
    assert known.ratio("exp", "float32", 11) == 0.5
    assert known.ratio("exp", "float32", 15) is None
    assert known.ratio("exp", "float64", 10) is None


@pytest.mark.parametrize("level", chip.LEVELS)
def test_shipped_defaults_can_be_read(level: str) -> None:
    file = resources.files("anychip.measurements") / "levels" / f"{level}.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    loaded = defaults.load(level)
    assert loaded.level == level
    assert loaded.machine
    assert set(loaded.ratios) == set(document["ratios"])
    assert bool(loaded.ratios) == (loaded.source == MEASURED), "a model measures nothing"


def test_defaults_come_back_as_they_were_written(tmp_path: Path) -> None:
    known = Defaults(
        "level", "machine", {"exp": {"float32": {10: 0.5}}}, MEASURED, {"pointwise.TILES": {"flat": 512}},
        {"flat_kernel#12": {"x:*fp32": {"unroll": 4}}},
    )  # fmt: skip
    file = tmp_path / "level.json"
    defaults.save(file, known)
    assert defaults.read(file, "level") == known
    assert defaults.read(tmp_path / "none.json", "level") == Defaults("level")


@pytest.mark.parametrize(
    "change",
    [{"format": 99}, {"level": "another"}, {"source": "hearsay"}, {"source": "model"}, {"tiles": []},
     {"tiles": {"pointwise.TILES": {"flat": "many"}}}, {"schedules": {"kernel": 1}}, {"ratios": None}],
)  # fmt: skip
def test_other_defaults_are_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object]
) -> None:
    file = tmp_path / "level.json"
    defaults.save(file, Defaults("level", "machine", {"exp": {"float32": {10: 0.5}}}))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with caplog.at_level(logging.WARNING):
        assert defaults.read(file, "level") == Defaults("level")
    assert "ignored" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert defaults.load("no-such-level").ratios == {}
    assert not caplog.records

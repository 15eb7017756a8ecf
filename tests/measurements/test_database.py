"""The database: what is put is found by every process; damage, staleness and foreign chips are harmless."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from anychip.measurements import database as module
from anychip.measurements import exchange
from anychip.measurements.database import Database
from anychip.measurements.entry import CHOICE, TILES, Entry, to_line
from anychip.measurements.errors import MeasurementsError

CHIP = "made-up-t2"
ENTRY = Entry(
    CHOICE, "exp", "float32[4]c", "source", CHIP, {"choice": "ours"}, {"ours": 1e-6, "native": 2e-6}
)


def find(database: Database, source: str = "source") -> Entry | None:
    return database.find(CHOICE, "exp", "float32[4]c", source)


def test_an_entry_is_found_by_a_later_process_and_the_latest_counts(tmp_path: Path) -> None:
    first = Database(CHIP, tmp_path)
    assert find(first) is None
    first.put(ENTRY)
    later = replace(ENTRY, values={"choice": "native"})
    first.put(later)
    assert find(first) == later
    assert find(Database(CHIP, tmp_path)) == later


def test_an_entry_of_other_code_is_stale(tmp_path: Path) -> None:
    database = Database(CHIP, tmp_path)
    database.put(ENTRY)
    assert find(database, "changed") is None
    assert find(database) == ENTRY


def test_an_entry_of_another_chip_is_foreign(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign = Database("another-t2", tmp_path)
    foreign.put(replace(ENTRY, chip="another-t2"))
    foreign.file.rename(Database(CHIP, tmp_path).file)
    with caplog.at_level(logging.WARNING):
        assert find(Database(CHIP, tmp_path)) is None
    assert len(caplog.records) == 1
    assert "another chip" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [b"", b"\n", b"garbage", b"\xff\xfe\x00" * 50, b'["0",', b"[1,2]\n{}\nnull\n", b"[" * 5000],
)
def test_damage_costs_one_line_of_log_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    database = Database(CHIP, tmp_path)
    database.put(ENTRY)
    with database.file.open("ab") as file:
        file.write(damage)
    with caplog.at_level(logging.WARNING):
        again = Database(CHIP, tmp_path)
    assert find(again) == ENTRY
    assert len(caplog.records) == (1 if damage.strip() else 0)
    other = replace(ENTRY, subject="log")
    again.put(other)
    assert {entry.subject for entry in Database(CHIP, tmp_path).entries()} == {"exp", "log"}


def test_a_line_that_was_cut_off_loses_only_itself(tmp_path: Path) -> None:
    database = Database(CHIP, tmp_path)
    database.put(ENTRY, replace(ENTRY, subject="log"))
    data = database.file.read_bytes()
    database.file.write_bytes(data[:-20])
    after = Database(CHIP, tmp_path)
    assert find(after) == ENTRY
    after.put(replace(ENTRY, subject="sin"))
    assert {entry.subject for entry in Database(CHIP, tmp_path).entries()} == {"exp", "sin"}


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        database = Database(CHIP, blocked / "tuning")
        database.put(ENTRY)
        database.put(replace(ENTRY, subject="log"))
        assert database.clear() == 2
    assert len([record for record in caplog.records if "written" in record.message]) == 1
    database.put(ENTRY)
    assert find(database) == ENTRY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read_and_not_written(tmp_path: Path) -> None:
    Database(CHIP, tmp_path).put(ENTRY)
    tmp_path.chmod(0o500)
    try:
        database = Database(CHIP, tmp_path)
        database.put(replace(ENTRY, subject="log"))
        assert len(database.entries()) == 2
        assert len(Database(CHIP, tmp_path).entries()) == 1
    finally:
        tmp_path.chmod(0o700)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from anychip.measurements.database import Database
from anychip.measurements.entry import Entry
chip, folder, name = sys.argv[1:]
database = Database(chip, Path(folder))
for k in range(40):
    database.put(Entry("choice", f"{name}{k}", "", "source", chip, {"text": "x" * 500}))
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, CHIP, str(tmp_path), name]) for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    subjects = {entry.subject for entry in Database(CHIP, tmp_path).entries()}
    assert subjects == {f"{name}{k}" for name in "abc" for k in range(40)}


def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    database = Database(CHIP, tmp_path)

    def write(name: str) -> None:
        for k in range(20):
            database.put(replace(ENTRY, subject=f"{name}{k}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Database(CHIP, tmp_path).entries()) == 80


def test_a_file_of_replaced_lines_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUPERFLUOUS_LINES", 10)
    database = Database(CHIP, tmp_path)
    for k in range(30):
        database.put(replace(ENTRY, values={"choice": str(k)}))
    again = Database(CHIP, tmp_path)
    assert again.file.read_text().count("\n") == 1
    found = find(again)
    assert found is not None
    assert found.values == {"choice": "29"}


def test_clearing_forgets_one_kind(tmp_path: Path) -> None:
    database = Database(CHIP, tmp_path)
    database.put(ENTRY, replace(ENTRY, kind=TILES))
    assert database.clear(TILES) == 1
    assert Database(CHIP, tmp_path).entries() == [ENTRY]


def test_measurements_are_exported_and_imported(tmp_path: Path) -> None:
    file = tmp_path / "exported.json"
    assert exchange.write(file, CHIP, [ENTRY]) == 1
    assert exchange.read(file, CHIP) == ([ENTRY], {})
    found, refused = exchange.read(file, "another-t4")
    assert not found
    assert list(refused.values()) == [1]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    for text in ("", "[]", '{"title": "else"}', to_line(ENTRY)):
        file.write_text(text)
        with pytest.raises(MeasurementsError):
            exchange.read(file, CHIP)


def test_an_entry_that_was_edited_wrongly_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "exported.json"
    exchange.write(file, CHIP, [ENTRY, replace(ENTRY, subject="log")])
    file.write_text(file.read_text().replace('"subject": "log"', '"subject": 5'))
    found, refused = exchange.read(file, CHIP)
    assert found == [ENTRY]
    assert sum(refused.values()) == 1

"""Digests of installed programs: computed once for a state of the files, and never taken for another one."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from triton.runtime import cache as triton_cache

from anychip.triton_backend import fingerprint


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program of two files, with a digest that counts how often it is computed."""
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("anychip.runtime.cache._warned", set())

    class Program:
        folder = tmp_path / "program"
        kept = tmp_path / "cache" / fingerprint.FOLDER
        computed = 0

        def compute(self) -> str:
            self.computed += 1
            return "+".join(sorted(path.read_text() for path in self.folder.rglob("*.py")))

        def digest(self) -> str:
            return fingerprint.remembered("program", (self.folder,), self.compute)

    (Program.folder / "part").mkdir(parents=True)
    (Program.folder / "one.py").write_text("1")
    (Program.folder / "part" / "two.py").write_text("2")
    return Program()


def test_a_digest_is_computed_once(program):
    assert [program.digest() for _ in range(3)] == ["1+2"] * 3
    assert program.computed == 1


CHANGES = {
    "written": (lambda folder: (folder / "part" / "two.py").write_text("three"), "1+three"),
    "added": (lambda folder: (folder / "part" / "more.py").write_text("9"), "1+2+9"),
    "removed": (lambda folder: (folder / "one.py").unlink(), "2"),
    "renamed": (lambda folder: (folder / "one.py").rename(folder / "part" / "one.py"), "1+2"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_is_noticed(program, change):
    program.digest()
    alter, expected = CHANGES[change]
    alter(program.folder)
    assert program.digest() == expected
    assert program.computed == 2


def test_what_is_not_the_programs_is_not_looked_at(program):
    program.digest()
    (program.folder / "notes.txt").write_text("bytecode, data")
    assert program.digest() == "1+2"
    assert program.computed == 1


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:-1] + b"x"])
def test_a_damaged_entry_is_computed_again(program, damage):
    program.digest()
    (entry,) = program.kept.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))
    assert program.digest() == "1+2"
    assert program.computed == 2
    assert program.digest() == "1+2"
    assert program.computed == 2


def test_where_nothing_can_be_kept_it_is_computed_with_one_warning(program, caplog):
    program.kept.parent.write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert [program.digest() for _ in range(2)] == ["1+2"] * 2
    assert program.computed == 2
    assert caplog.text.count("cannot be written") == 1


def test_files_that_cannot_be_listed_are_digested_each_time(program):
    compute = lambda: "unseen"  # noqa: E731
    assert fingerprint.remembered("program", (program.folder / "gone",), compute) == "unseen"
    assert not program.kept.exists()


def test_tritons_digest_of_itself_is_what_triton_computes():
    assert triton_cache.triton_key.__module__ == "triton.runtime.cache"
    stock: Any = triton_cache.triton_key.__wrapped__  # of the functools.cache
    assert stock.__module__ == "triton.runtime.cache"
    assert triton_cache.triton_key() == stock.__wrapped__()

"""What callgrind writes is read as it is, and what it would not write is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.speed.callgrind import UnreadableCount, parsed, read

FILE = """# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 7180
cmd:  python program.py
part: {part}


desc: I1 cache:
desc: Timerange: Basic block 0 - 9044493
desc: Trigger: {trigger}

positions: line
events: {events}
summary: 0


ob=(4) ???
fl=(4) ???
fn=(1900) 0x0000000027f4b6c0
0 18000
cob=(3) libpython3.11.so
cfn=(1910) PyType_GetFlags
calls=1500 2463
0 3000
totals: {total}
"""


def a_file(trigger: str, total: object, events: str = "Ir", part: int = 1) -> str:
    return FILE.format(trigger=trigger, total=total, events=events, part=part)


def test_a_count_has_the_name_that_the_request_gave() -> None:
    text = a_file("Client Request: kernel; softmax f32 256x1024; 2", 40720924)
    assert parsed(text) == ("kernel; softmax f32 256x1024; 2", 40720924)


def test_what_nobody_asked_for_is_no_count() -> None:
    assert parsed(a_file("Program termination", 0)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "totals: 5\n",
        a_file("Client Request: x", ""),
        a_file("Client Request: x", 5).replace("desc: T", "T"),
    ],
    ids=["nothing", "another file", "no total", "no trigger"],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(UnreadableCount, match="not a file of callgrind's"):
        parsed(text)


def test_other_events_than_instructions_are_refused() -> None:
    with pytest.raises(UnreadableCount, match="Ir Dr Dw"):
        parsed(a_file("Client Request: x", "5 3 2", events="Ir Dr Dw").replace("5 3 2", "5"))


def test_a_folder_is_read_in_the_order_of_the_counts(tmp_path: Path) -> None:
    (tmp_path / "counts.callgrind").write_text(a_file("Program termination", 9))
    for part in range(1, 12):
        (tmp_path / f"counts.callgrind.{part}").write_text(a_file(f"Client Request: {part}", 10 * part))
    (tmp_path / "facts.json").write_text("{}")
    assert read(tmp_path) == {str(part): 10 * part for part in range(1, 12)}
    assert list(read(tmp_path))[-1] == "11"

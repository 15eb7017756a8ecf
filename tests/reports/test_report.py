"""The report: what its sections draw, that it needs nothing but itself, and that a browser shows it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.chips import evidence
from anychip.cli.application import application
from anychip.reports import flame, heat_map, history, inputs, memory, roofline, timeline
from anychip.reports.errors import NothingToReport
from anychip.reports.inputs import Speed
from anychip.reports.page import page

LARGEST = 2_000_000

KERNEL = {
    "kernel": "matmul<kernel>",
    "launches": 4,
    "seconds": 0.5,
    "share": 0.8,
    "operators": ["mm"],
    "bytes": 1_000_000,
    "operations": 64_000_000,
    "element": "f32",
    "least_seconds": 0.25,
}
PROFILE: dict[str, Any] = {
    "command": "script.py <script>alert(1)</script>",
    "seconds": 1.0,
    "threads": 2,
    "kernels": [
        KERNEL,
        {**KERNEL, "kernel": "gather", "share": 0.2, "operations": None, "least_seconds": None},
    ],
    "operators": [{"overload": "mm", "calls": 4, "own_seconds": 0.6, "kernel_seconds": 0.5}],
    "stacks": [[["main", "loop", "a"], 30], [["main", "loop", "b", "kernel matmul"], 69], [["main"], 1]],
    "left_out": ["sort x1: PyTorch's own kernels"],
    "roofs": {"bytes_per_second": 1e10, "operations_per_second": 1e11},
}
TRACE = {
    "traceEvents": [
        {"ph": "X", "tid": 1, "cat": "operator", "name": "mm", "ts": 0.0, "dur": 100.0},
        {"ph": "X", "tid": 1, "cat": "kernel", "name": "matmul", "ts": 10.0, "dur": 80.0},
        {"ph": "C", "name": "memory", "ts": 1.0, "args": {"resident MiB": 1}},
    ]
}
CHIPS: list[dict[str, Any]] = [
    {
        "chip": name,
        "tier": tier,
        "vector_bits": 128,
        "operators": {"passed": 1, "tried": 2, "total": 3},
        "verdicts": verdicts,
        "kernels": {"compiled": 5, "errors": []},
    }
    for name, tier, verdicts in (
        ("here", "native", {"add": "passed", "mm": "passed"}),
        ("far", "emulated", {"add": "passed", "mm": "failed"}),
        ("code", "compiled", {"add": "passed"}),
    )
]


def all_of_it() -> str:
    """The page of everything there is, with the records that come with the library."""
    speeds = (
        Speed("aaa", "2026-01-01", "chip", {"small": 1.1}, 9),
        Speed("bbb", "2026-01-02", "chip", {"small": 1.3}, 9),
    )
    return page(
        inputs.Inputs((("a.json", PROFILE),), (("t.json", TRACE),), tuple(evidence.records()), speeds),
        "All <of> it",
    )


def test_the_page_stays_small_however_much_was_measured() -> None:
    frames = [
        f"a_function_with_a_long_name_{number} (folder/a_file_of_python.py:{number})"
        for number in range(4000)
    ]
    stacks = [[["main", "loop", frame, f"inside {frame}", f"deep {frame}"], 1] for frame in frames]
    events = [
        {
            "ph": "X",
            "tid": k % 3,
            "cat": "kernel",
            "name": f"kernel_{k}_with_a_name",
            "ts": k * 2.0,
            "dur": 1.0 + k % 7,
        }
        for k in range(20_000)
    ]
    many = (("a.json", {**PROFILE, "stacks": stacks}),) * 3, (("t.json", {"traceEvents": events}),) * 3
    made = page(inputs.Inputs(*many, tuple(evidence.records()), ()), "large")
    assert len(made.encode()) < LARGEST
    assert "longest of 20000 events" in made


class Tags(html.parser.HTMLParser):
    """Elements that are opened, not closed, and the addresses they name."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_small_whole_and_names_nothing_elsewhere() -> None:
    made = all_of_it()
    assert len(made.encode()) < LARGEST
    tags = Tags()
    tags.feed(made)
    assert tags.open == []
    assert all(address.startswith("#") for address in tags.addresses)
    assert not re.search(r"https?://|url\(|@import", made)
    assert "<script>alert" not in made
    assert "All &lt;of&gt; it" in made


def test_a_kernel_stands_at_its_intensity_beneath_the_roof() -> None:
    made = roofline.section(PROFILE)
    assert "matmul&lt;kernel&gt;: 0.13 GFLOP/s, 64 FLOP/byte, 80.0% of the time, 50% of the roof" in made
    assert made.count("<circle") == 1
    assert made.count("polyline") == 2
    assert roofline.section({**PROFILE, "kernels": []}) == ""


def test_flames_are_as_wide_as_their_share() -> None:
    made = flame.section(PROFILE)
    widths = {name: float(width) for name, width in re.findall(r"<title>([^:]+):.*?width=\"([\d.]+)\"", made)}
    assert widths["a"] / widths["b"] == pytest.approx(30 / 69, abs=0.01)
    assert widths["kernel matmul"] == widths["b"]


def test_memory_is_drawn_to_its_peak() -> None:
    rows = [[0.0, 2**20, 0], [1.0, 4 * 2**20, 2**20], [2.0, 2 * 2**20, 0]]
    made = memory.section({"memory": rows})
    assert "4 MiB" in made
    first, *_ = re.findall(r'points="([^"]+)"', made)
    heights = [float(point.split(",")[1]) for point in first.split()]
    assert heights == [pytest.approx(132.5), 20.0, pytest.approx(95.0)]
    assert memory.section({"memory": rows[:1]}) == ""
    many = memory.section({"memory": [[k, k == 5000, 0] for k in range(10_000)]})
    assert len(re.findall(r'points="([^"]+)"', many)[0].split()) == 1000
    assert ",20.0" in many


def test_the_timeline_is_to_scale() -> None:
    made = timeline.section(TRACE)
    kernel = re.search(r"matmul: 0.08 ms at 0.01 ms</title></rect>", made)
    assert kernel
    assert re.findall(r'width="([\d.]+)" height', made) == ["960", "768"]


def test_chips_are_never_shown_better_than_their_tier() -> None:
    states = [[heat_map.state_of(chip, name) for name in ("add", "mm")] for chip in CHIPS]
    assert states == [[0, 0], [1, 3], [2, 4]]
    made = heat_map.section(CHIPS)
    held = re.search(r'id="heat-data">(.*?)</script>', made)
    assert held
    data = json.loads(held[1])
    assert data["chips"] == ["here", "far", "code"]
    assert data["rows"] == ["00", "13", "24"]
    assert heat_map.differences(CHIPS).index("far") < heat_map.differences(CHIPS).index("here")


def test_history_comes_from_git(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git")

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    for ratio in (2.0, 8.0):
        rows = [{"operator": "add", "size": "small", "ratio": r} for r in (ratio, 2.0)]
        (tmp_path / "speed.json").write_text(
            json.dumps({"circumstances": {}, "terms": {"chip": "c"}, "rows": rows})
        )
        git("add", ".")
        git("commit", "-m", "a record")
    found = inputs.find(tmp_path)
    assert [speed.means["small"] for speed in found.history] == [2.0, 4.0]
    assert len(found.chips) > 10
    assert "small: 4.000" in history.section(found.history)


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(NothingToReport, match="has no profile"):
        inputs.find(tmp_path)
    with pytest.raises(NothingToReport, match="is no folder"):
        inputs.find(tmp_path / "absent")


def test_the_verb_writes_the_page(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    done = CliRunner().invoke(application, ["report", str(tmp_path), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == {"written": str(tmp_path / "report.html")}
    assert "Roofline" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_shows_it(tmp_path: Path, width: int, scheme: str) -> None:
    """Chromium runs the script, and nothing of the page is wider than the screen but what scrolls by
    itself."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium")
    probe = (
        "<script>document.body.dataset.wide=document.documentElement.scrollWidth>innerWidth?'yes':'no';"
        "document.querySelector('#heat svg').dispatchEvent(new PointerEvent('pointermove',{clientX:"
        "document.querySelector('#heat svg').getBoundingClientRect().right-2,clientY:"
        "document.querySelector('#heat svg').getBoundingClientRect().top+2}));"
        "document.body.dataset.paper=getComputedStyle(document.body).backgroundColor;</script></body>"
    )
    file = tmp_path / "report.html"
    file.write_text(all_of_it().replace("</body>", probe))
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900", *dark, "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert 'data-ready="yes"' in dom
    assert 'data-wide="no"' in dom
    assert re.search(r'id="at"[^>]*>[\w.]+ on [\w.-]+: passed', dom)
    paper = re.search(r'data-paper="rgb\((\d+),', dom)
    assert paper
    assert (int(paper[1]) < 128) == (scheme == "dark")

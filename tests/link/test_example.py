"""The arm that moves under a served policy, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco")
pytest.importorskip("mcap")
pytest.importorskip("websockets")

MAIN = Path(__file__).parents[2] / "examples" / "robot" / "main.py"


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--loopback"], []])
def test_the_arm_keeps_its_promises_in_bad_weather(options: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(MAIN), "--output", str(tmp_path), "--seconds", "10", *options],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 past expiry, 0 twice" in done.stdout
    assert "-> STOP" in done.stdout
    assert (tmp_path / "robot.png").stat().st_size > 10_000

    from anychip.link.logs import recovered

    assert len([each for each in recovered(tmp_path / "robot.mcap") if each.topic == "/link/command"]) > 50

"""`anychip link` as commands: what they print, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.errors import AnychipError

pytest.importorskip("msgpack")
pytest.importorskip("websockets")
pytest.importorskip("torch")

FILE = """
import numpy as np
import torch
from anychip.link import JerkLimitedStop, Policy, Robot, Stage

def vision(tensors):
    return {"feature": tensors["state"] * 2}

def head(tensors):
    return {"actions": tensors["feature"][:, None, :].repeat(1, 8, 1).float()}

def policy():
    return Policy((Stage("vision", vision), Stage("head", head)), {"state": ("float32", (2,))}, 8, 2)

def robot():
    return Robot("r", lambda: {"state": np.ones(2, np.float32)}, lambda: np.zeros(2), lambda command: None,
                 JerkLimitedStop(1000.0, 100.0))

def nothing():
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arm.py"
    path.write_text(FILE)
    return path


def said(*arguments: str, status: int = 0) -> Any:
    result = CliRunner().invoke(application, ["link", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_torture_counts() -> None:
    found = said("torture", "--ticks", "600", "--robots", "16")
    assert found["ticks"] == 600
    assert found["actions_past_expiry"] == found["replayed"] == found["unordered"] == 0
    assert {"actions_executed", "period_p99_ms", "stops", "recovered"} <= set(found)


def test_measure_and_plan(file: Path, tmp_path: Path) -> None:
    subject = f"{file}:policy"
    for name in ("edge", "cloud"):
        written = said("measure", subject, "-o", str(tmp_path / f"{name}.json"), "--rounds", "3")
        assert written == {"written": str(tmp_path / f"{name}.json")}
    (tmp_path / "network.json").write_text(
        json.dumps({"small_bytes": 64, "small": [0.001], "large_bytes": 3000, "large": [0.002]})
    )
    found = said("plan", subject, "--profiles", str(tmp_path), "--max-age", "5s", "--hz", "10")
    assert len(found["placements"]) == 3
    assert found["placements"][0]["met"]
    refused = said("plan", subject, "--profiles", str(tmp_path), "--max-age", "1us", status=1)
    assert refused["advice"]


def test_a_served_robot(file: Path, tmp_path: Path) -> None:
    """Server and robot in processes of their own, as users run them; the log is there afterwards."""
    command = [sys.executable, "-m", "anychip", "link"]
    with subprocess.Popen(
        [*command, "serve", f"{file}:policy", "--port", "0", "--batch", "2", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stderr is not None
        line = ""
        for line in server.stderr:
            if "serving" in line:
                break
        url = line.split()[-1]
        log = tmp_path / "log.mcap"
        found = said(
            "run", f"{file}:robot", f"{file}:policy", "--server", url, "--ticks", "60", "--max-age", "2s",
            "--hold", "5s", *(["--log", str(log)] if _has("mcap") else []),
        )  # fmt: skip
        server.terminate()
        told = json.loads(server.communicate(timeout=60)[0])
    assert found["ticks"] <= 60
    assert found["counts"]["executed"] > 0
    assert found["steps"][0]["to"] in ("CHUNK", "REMAINING")
    assert told["robots"]["r"]["asked"] > 0
    assert told["counts"]["joined"] >= 1
    if _has("mcap"):
        from anychip.link.logs import recovered

        assert len([each for each in recovered(log) if each.topic == "/link/command"]) == found["ticks"]


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("serve", "{file}:nothing"), "gave a int, not a policy"),
        (("serve", "{file}:polcy"), "policy"),
        (("serve", "arm"), "names no function"),
        (("serve", "{file}:policy", "--host", "0.0.0.0"), "there is no token"),
        (("serve", "{file}:policy", "--stages-on-robot", "2"), "leave none of 2"),
        (("run", "{file}:policy", "{file}:policy"), "Return anychip.link.Robot"),
        (("run", "{file}:robot", "{file}:policy", "--server", "http://x"), "no address of a server"),
        (("run", "{file}:robot", "{file}:policy", "--max-age", "80"), "this is no time"),
        (("plan", "{file}:policy", "--chips", "one"), "two names are wanted"),
        (("plan", "{file}:policy", "--profiles", "none"), "Measure it"),
        (("measure", "-o", "x"), "one of two things"),
        (("torture", "--ticks", "0"), "nothing to run"),
        (("serve", "{file}:policy", "--zenoh", "--certificate", "x.pem"), "has no TLS"),
    ],
)
def test_what_is_refused(file: Path, arguments: tuple[str, ...], text: str) -> None:
    given = ["link", *(argument.format(file=file) for argument in arguments)]
    with pytest.raises(AnychipError, match=text):
        CliRunner().invoke(application, given, catch_exceptions=False)

"""Logs: other readers of MCAP and of ROS messages read them, and an unfinished one loses little."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")
pytest.importorskip("mcap")

from mcap.reader import make_reader  # noqa: E402

from anychip.link.errors import LogError  # noqa: E402
from anychip.link.ladder import Command, Rung, Step  # noqa: E402
from anychip.link.logs import Recorder, recovered  # noqa: E402

SECOND = 1_000_000_000


def write(stream: IO[bytes], count: int) -> Recorder:
    recorder = Recorder(stream, ["shoulder", "elbow"])
    for tick in range(count):
        rung = Rung.CHUNK if tick < count // 2 else Rung.HOLD
        values = np.array([tick * 0.5, -tick])
        recorder.command(
            Command(tick, rung, values, "a cause with umlauts: ü", tick + 1, 2, 5), tick * SECOND // 50
        )
        recorder.steps(
            [Step(count // 2 * SECOND // 50, count // 2, Rung.CHUNK, Rung.HOLD, "no actions have come")]
        )
    return recorder


def test_ros_tools_read_it(tmp_path: Path) -> None:
    """The oracle is the decoder of ROS 2 messages of the MCAP project."""
    ros = pytest.importorskip("mcap_ros2.decoder")
    path = tmp_path / "log.mcap"
    with path.open("wb") as stream:
        write(stream, 40).finish()
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[ros.DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        found = [(channel.topic, message) for _, channel, _, message in reader.iter_decoded_messages()]
    commands = [message for topic, message in found if topic == "/link/command"]
    assert [list(message.position) for message in commands] == [[tick * 0.5, -tick] for tick in range(40)]
    assert list(commands[0].name) == ["shoulder", "elbow"]
    states = [message for topic, message in found if topic == "/link/state"]
    assert [message.rung for message in states] == ["CHUNK"] * 20 + ["HOLD"] * 20
    assert states[7].cause == "a cause with umlauts: ü"
    assert (states[7].tick, states[7].sequence, states[7].index, states[7].age, states[7].moving) == (
        7,
        8,
        2,
        5,
        True,
    )
    (step,) = [message for topic, message in found if topic == "/rosout"]
    assert step.msg == "chunk -> hold: no actions have come"
    assert step.level == 30
    times = [message.header.stamp.sec * SECOND + message.header.stamp.nanosec for message in commands]
    assert np.diff(times).tolist() == [SECOND // 50] * 39


def test_an_unfinished_log_loses_the_last_chunk_at_most(tmp_path: Path) -> None:
    """A reader in its usual order finds nothing in it; what was flushed is there in the order of the file."""
    path = tmp_path / "log.mcap"
    with path.open("wb") as stream:
        recorder = write(stream, 3000)
        recorder.flush()
        del recorder  # as if the program had died: never finished
    found = [each for each in recovered(path) if each.topic == "/link/command"]
    assert len(found) == 3000
    broken = tmp_path / "broken.mcap"
    whole = path.read_bytes()
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    kept = [each for each in recovered(broken) if each.topic == "/link/command"]
    assert 1800 < len(kept) < 2000
    assert [each.at for each in kept] == [each.at for each in found[: len(kept)]]


def test_a_short_log_does_not_stay_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    with path.open("wb") as stream:
        recorder = write(stream, 3)
        recorder.flush()
        assert len([each for each in recovered(path) if each.topic == "/link/command"]) == 3


def test_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(LogError, match="no MCAP file"):
        list(recovered(tmp_path / "text"))

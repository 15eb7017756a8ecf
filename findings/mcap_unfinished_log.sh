#!/usr/bin/env bash
# A log that was not finished reads as empty, or whole, by the order that is asked for.
# Versions: mcap 1.6.0.
# A robot that loses power leaves a log without its end. `NonSeekingReader.iter_messages` in its default order
# (by log time) collects everything first and raises at the missing end, so not one message comes out; with
# `log_time_order=False` all messages of the finished chunks come, then the same error. And a writer keeps up
# to a megabyte: until `finish` a short log has only its header on disk. Read such logs in file order, and
# choose a small chunk where power may fail.
# Seen:
#   default order: 0 messages, then EndOfFile; file order: 19 messages, then EndOfFile
#   20 messages written: 42 bytes before finish, 1035 after
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mcap==1.6.0
"$work/venv/bin/python" - "$work" <<'END'
import io

from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader
from mcap.writer import Writer


def log(**options):
    stream = io.BytesIO()
    writer = Writer(stream, **options)
    writer.start()
    schema = writer.register_schema("state", "jsonschema", b"{}")
    channel = writer.register_channel("/state", "json", schema)
    for time in range(20):
        writer.add_message(channel, log_time=time, publish_time=time, data=b'{"q": 0}')
    return stream, writer


def messages(content, **options):
    found = 0
    try:
        for _ in NonSeekingReader(io.BytesIO(content)).iter_messages(**options):
            found += 1
    except EndOfFile:
        return found, True
    return found, False


cut = log(chunk_size=100)[0].getvalue()
by_time, in_file = messages(cut), messages(cut, log_time_order=False)
print("default order", by_time, "file order", in_file)
assert by_time == (0, True)
assert in_file == (19, True)

stream, writer = log()
before = len(stream.getvalue())
writer.finish()
print("bytes before and after finish:", before, len(stream.getvalue()))
assert before < 64 < 1000 < len(stream.getvalue())
END

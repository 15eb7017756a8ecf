"""Text of an answer as it is written: whole characters, no part of a stop string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychip.serve.text import Writer


def bytes_as_text(tokens) -> str:
    """A decoder whose tokens are bytes."""
    return bytes(tokens).decode("utf-8", errors="replace")


def written(data: bytes, stop: tuple[str, ...] = ()) -> tuple[list[str], str | None]:
    writer = Writer(bytes_as_text, stop)
    pieces = []
    for token in data:
        pieces.append(writer.add(token))
        if writer.stopped_by is not None:
            return pieces, writer.stopped_by
    pieces.append(writer.rest())
    return pieces, writer.stopped_by


@given(st.text(max_size=40))
def test_pieces_are_whole_characters_and_make_the_text(text: str) -> None:
    pieces, _ = written(text.encode())
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_nothing_of_a_stop_string_is_shown(text: str, stops: list[str]) -> None:
    pieces, stopped_by = written(text.encode(), tuple(stops))
    found = "".join(pieces)
    ends = [text[:k] for k in range(len(text) + 1) if any(text[:k].endswith(stop) for stop in stops)]
    if not ends:
        assert (found, stopped_by) == (text, None)
    else:
        candidates = [ends[0][: -len(stop)] for stop in stops if ends[0].endswith(stop)]
        assert stopped_by in stops
        assert found == min(candidates, key=len)


def test_bytes_that_are_no_character_are_shown_as_such_in_the_end() -> None:
    pieces, _ = written(b"a\xe2\x82")
    assert "".join(pieces) == "a\ufffd"


@pytest.mark.parametrize("text", ["é" * 20, "日本語" * 5, "👩‍👩‍👧" * 3])
def test_characters_of_several_bytes(text: str) -> None:
    pieces, _ = written(text.encode())
    assert "".join(pieces) == text

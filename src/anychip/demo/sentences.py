"""The text of the demonstration: the one that comes with Anychip, or the user's. Flows in: a file. Flows out:
its sentences."""

from __future__ import annotations

from pathlib import Path

from .errors import DemonstrationError


def shipped_text() -> Path:
    """The text that comes with Anychip: in an installed wheel, or in the examples of a checkout."""
    places = (
        Path(__file__).with_name("sentences.txt"),
        Path(__file__).parents[3] / "examples" / "sentences.txt",
    )
    for place in places:
        if place.is_file():
            return place
    raise DemonstrationError(
        "the text of the demonstration is missing.", "Give one: anychip demo --text FILE"
    )


def read_sentences(path: Path) -> list[str]:
    """The sentences of a text file, one a line; empty lines are left out.

    Raises DemonstrationError when the file cannot be read or holds fewer than two sentences.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DemonstrationError(
            f"cannot read {path}: {error}", "Give a UTF-8 text with one sentence a line."
        ) from error
    sentences = [line.strip() for line in lines if line.strip()]
    if len(sentences) < 2:
        raise DemonstrationError(f"{path} holds {len(sentences)} sentences; at least two are compared.")
    return sentences
